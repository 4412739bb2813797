#!/bin/sh
# Starts Redis as docs/operations.md wants it, as its own user. The password goes into a
# file in memory: on a command line or in the environment others could read it.
set -eu

file=/tmp/redis.conf
(
	umask 077
	cat >"$file" <<-END
		dir /data
		appendonly yes
		appendfsync everysec
		save ""
		maxmemory-policy noeviction
		requirepass $(cat /run/secrets/redis_password)
	END
)
chown redis:redis "$file" /data
exec setpriv --reuid=redis --regid=redis --init-groups redis-server "$file"
