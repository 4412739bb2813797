#!/bin/sh
# Makes the secrets of docker-compose.yml in deploy/secrets, at random. What is there
# stays as it is; the two addresses are written anew from the passwords.
#
# Containers read the files as users of their own, so these may be read by all, but the
# folder is closed. Back field_encryption_keys up, apart from the database.
set -eu
umask 077
cd "$(dirname "$0")"
mkdir -p secrets
chmod 700 secrets
cd secrets

random() {  # $1 bytes in base64, which is fit for an address as well
	head -c "$1" /dev/urandom | base64 | tr -d '\n' | tr '+/' '-_'
}

write() {  # at once, so that a file is never half there
	printf '%s' "$2" >"$1.new"
	chmod 444 "$1.new"
	mv -f "$1.new" "$1"
}

make() {
	if [ -s "$1" ]; then echo "kept    deploy/secrets/$1"; return; fi
	write "$1" "$2"
	echo "written deploy/secrets/$1"
}

make secret_key "$(random 48)"
make field_encryption_keys "$(random 32)"
make postgres_password "$(random 24)"
make redis_password "$(random 24)"
make metrics_token "$(random 24)"
write database_url "postgres://chatbot:$(cat postgres_password)@db:5432/chatbot"
write redis_url "redis://:$(cat redis_password)@redis:6379/0"
