"""Words that customers and articles use for the same thing.

General vocabulary of customer support, for any site. What is special to a site
belongs into the keywords of its articles. A line is one meaning; a word may stand in
several. Entries of several words are matched as phrases. What stands before ">" stands
for what comes after it, but not the other way round.
"""

from collections import defaultdict
from collections.abc import Sequence

from support.knowledge.words import STOP_STEMS, read_stems

_ENGLISH = """
account, profile, login, membership
activate, activation, enable, switch on, turn on, set up, start using
add, attach, include, link, connect, pair
address, street, postcode, zip code
again, second time, once more, repeatedly
allowed, permitted, may, possible, able, eligible
amount, sum, total, value
answer, reply, response, respond
apart, come apart, open, split, loose, fall apart
app, application, mobile app
apply, request, ask for
approve, accept, confirm, authorise, authorize
argentina, australia, austria, belgium > abroad, international, country, foreign
arrive, come, show up, turn up, reach, get here, land, appear, delivered
arrive, receive, get, obtain
ask, question, enquiry, inquiry, query
atm, cash machine, cashpoint, cash point, automated teller
authenticator, two step, two factor, verification code, login code
automatic, automatically, auto, by itself
back in stock, restock, available again
bad, poor, awful, terrible, wrong
badly, poorly, weak, not well
bag, sack, pack, backpack, rucksack
balance, credit, funds, remaining
basket, cart, trolley, bag
bigger size, smaller size, other size, another size, different size, swap, exchange
bigger, larger, large, big
bike, bicycle, cycle, ebike
bill, invoice, receipt, statement, proof of purchase
blizzard > snow, storm, winter, wind
block, lock, freeze, disable, suspend, deactivate
blocked, locked, locked out, frozen, disabled
book, reserve, reservation, booking, appointment
boot, shoe, hiker, footwear
bought, buy, purchase, order, ordered, get
brazil, canada, china, denmark, finland > abroad, international, country, foreign
break, broken, defective, faulty, damaged, fault, defect, does not work
broken, torn, ripped, split, cracked, snapped, worn out
call, phone, telephone, ring
called off, call off, is off, cancelled, cancel
cancel, stop, abort, call off, undo, revoke
canister, cartridge, gas, fuel
card, debit card, credit card
carry, transport, bring, take
cash, notes, coins, money
cash, withdraw, take out money, get money out
change, edit, update, modify, correct, amend, alter
charge, bill, debit, take money
charge, fee, cost, price, surcharge
charger, charging, recharge, plug in
cheap, cheaper, discount, reduced, lower price, money off, percent off
cheaper, less, lower, lowered, drop, discount
check, verify, confirm, examine, inspect
cheque, check
child, children, kid, kids, son, daughter, teenager, baby, under 18, young
choose, pick, select, decide, which
clean, wash, laundry, rinse
close, delete, terminate, remove, erase, get rid of
closed, open, hours, opening hours
code, coupon, voucher, promo, promo code
cold, winter, frost, freezing, minus, snow, chilly
collect, pick up, pickup, collection, fetch
come and get, come get, collect, pick up
company, business, firm, corporate, employer
complain, complaint, unhappy, dissatisfied, angry, disappointed
compromised, hacked, stolen, copied, unsafe, breach
contact, reach, talk, speak, get in touch, write to
contactless, tap, nfc
convert, exchange, change money, swap
copy, duplicate, twice, double, two times, second time
country, countries, abroad, overseas, international, foreign, nation
courier, driver, carrier, postman, delivery company
course, class, lesson, training, workshop
cover, covered, include, included
credit, store credit, voucher
currency, currencies, dollars, euros, pounds, yen
customs, duty, duties, import tax, tariff
dad, mum, mother, father, brother, sister, uncle, aunt > present, gift, someone else
damaged, dent, dented, scratched, smashed, crushed, broken
data, information, details, personal data, stored about me
date, day, deadline, until when
decline, declined, reject, rejected, refuse, refused, denied, deny, failed
delay, delayed, late, overdue, slow, taking long
delete, remove, erase, wipe
deliver, delivery, ship, shipping, shipment, send, dispatch, bring, post, postage
deposit, pay in, put in, top up
details, particulars, information
device, phone, smartphone, mobile, handset
different, other, another, wrong
disappear, vanish, gone, missing, lost, expire
dispute, contest, chargeback
document, passport, id, identification, paper
down, feathers
dry, drying, wet, damp, soaked
early, earlier, sooner, before
earn, collect, gain, get points
eco, sustainable, environment, green, climate
email address, change email
email, mail, message, e mail
email, new email, another email > email address
employee, complaint, rude
employee, staff, agent, representative, human, person, real person, somebody
error, problem, issue, trouble, fail, failed, not working, glitch
exchange rate, rate, conversion, converted
exchange, swap, replace, trade, change
expire, expired, expiry, expiration, valid, run out, end
express, fast, faster, urgent, quick, rush, next day, overnight, tomorrow
extra, additional, more, another, spare, second
fail, failed, unsuccessful, did not go through, could not complete, not work
faulty, fault, guarantee, warranty, broke
fee, cost, price, charge, rate, how much, expensive, pay
find, locate, see, where, look up, view
finish, complete, done, end
fit, size, sizing, measure, too big, too small, too tight, tight, loose
forecast > weather, rain, storm
forgot, forgotten, forget, lost, do not remember, cannot remember
france, germany > abroad, international, country, foreign
fraud, suspicious, strange, did not make
fraud, unauthorised, unauthorized, scam, did not make, not recognise, unknown
free, no charge, without paying, at no cost, gratis
friend, recipient, beneficiary, payee, someone else
gift card, gift voucher, gift certificate
gift, present, birthday
go through, work, succeed, complete
granny, grandma, grandpa > present, gift, someone else
greece, hungary, iceland, india, ireland > abroad, international, country, foreign
guest, without account, without registering
hacked, compromised, somebody else, someone else, log out, sign out
have a go, try, try out, test, test ride
help, support, customer service, customer care
hire, rent, rental, borrow, lend, hired
hold, keep, store, held
hole, tear, rip, puncture
how long, time, days, duration, take, wait, hours, weeks
how many, number, limit, maximum
how much will you give, what do you pay for my, sell, trade in, offer
how much, cost, price, fee
how old, age, years old, minimum age
identical, same, twice, duplicate, double
identity, id, who i am, identification
immediately, at once, instantly, right away, straight away, now, asap, urgent
income, salary, wage, paycheck, pay
incorrect, wrong, mistake, error, not right
increase, raise, more, higher
instalment, installment, instalments, pay later, split, finance, in parts, monthly
interest, fee, charge
invite, refer, recommend, friend
italy, japan, mexico, netherlands, norway > abroad, international, country, foreign
jacket, coat, raincoat, anorak, shell
join, sign up, register, subscribe, become a member, open an account, create
kayak, canoe, boat
knife, knives, blade
last, latest, until, deadline, by when
leak, leaking, waterproof, soak through
left on, what is left, remaining, balance
legal, law, allowed, rule
limit, maximum, cap, restriction, at most, upper
litre, volume, capacity
lock, blocked, locked out, freeze
login, log in, sign in, log on, access, get in
lose, lost, misplaced, cannot find, missing, mislaid
lower price, elsewhere, competitor, price match, match
loyalty, club, rewards, membership, member, points
machine, washing machine, dryer
manual, instructions, guide
married, surname, last name, new name
member, membership, join, club
merchant, seller, shop, store, retailer
message, text, sms, notification, email
missing, not received, not arrived, never came, has not come, still waiting, lost
mobile, phone, cell, cellphone, iphone, android
money back, refund, reimburse, reimbursement, refunded, repay
money, funds, cash, payment
month, monthly, year, yearly, annual
mould, mildew, mold
move, moved, new address, relocate
name, called
near, nearest, close to, around
new, another, replacement
newsletter, mailing, emails, marketing
not arrived, where is, tracking, status
not, cannot, unable, fail, decline, reject, problem
offer, sell, have, stock
often, every, how often, regularly
old, age, years
old, used, second hand
one time, single use, disposable, temporary, once
open, opening, opening hours, closed
options, methods, ways, possibilities
order, purchase, parcel
origin, source, where from, came from
other people, somebody else, someone else, third party
out of stock, sold out, unavailable, not available
outgrown, grow, grew, growing
overnight, next day, express
owner, holder
parcel, package, packet, box, shipment, order
passcode, password, pin, code, credentials
pay, accept, take, method, card
pay, payment, paid, purchase, transaction
peg, pegs, accessory
pending, processing, in progress, waiting, not completed, still, stuck, on hold
photo, picture, image, screenshot
physical, real, plastic, actual
pick up, collect, fetch, click and collect
pin, pin number, pin code, secret number
plane, flight, fly, airplane, hand luggage, hold luggage, airline
points, rewards
poland, portugal > abroad, international, country, foreign
policy, rules, terms, conditions
possible, can, could, able
post, mail, send
postage, shipping cost, delivery cost, delivery fee
present, gift
price drop, cheaper now, lowered price
privacy, personal data, gdpr, data protection
problem, issue, trouble
process, procedure, steps, how to
proof, evidence, document
protect, safe, secure, security
purchase, bought, item, product
put in, throw in, add, include
quit, leave, resign, end
reason, why, cause
receive, get, arrive, obtain, get hold of
recognise, recognize, know, familiar, unknown
recycle, dispose, disposal, throw away, throw out
reduction, discount, percent off, rebate
reference, payment reference
refund, money back, return, reimburse, credited
regular, standard, normal, usual
reload, refill, top up, add money, add funds, put money, load
remove, unlink, take off
renew, renewal, extend, replacement
rent, hire, borrow
repair, fix, mend, restore, patch, sew
replace, replacement, new one, substitute
report, tell, notify, inform
request, ask, demand, apply
reset, forgot, recover, new password
restaurant, shop, merchant, store
return, send back, bring back, take back, give back, hand back
returned, reverted, reversed, sent back, came back, bounced, cancelled
reverse, revert, undo, cancel
review, rating, feedback, stars, opinion
right, correct
rope, cord, line
sale, clearance, offer, reduced, discount
scan, upload, photo
school, club, group, team, class
second hand, used, pre owned, trade in
secure, safe, safety
see, find, view, show, look
sell, stock, have, carry
sell, trade in, buy back, give away
send, transfer, wire, remit, move money
service, maintenance, check up
set, choose, change
settle, pay, pay off
shop, store, branch, location, outlet
show, appear, display, visible, see
showing, reflected, credited, updated, appear
sleeping bag, bag, quilt
small, tiny, little
smell, stink, odour, odor, reek
social, facebook, instagram
someone else, another person, other person, on behalf, husband, wife, friend
someone used my, somebody used my, fraud, did not make, unauthorised
spain, sweden, switzerland, turkey, uk > abroad, international, country, foreign
spend, redeem, use
statement, account history, transaction list, bank statement
status, where is, track, tracking
stitch, stitched, sewn, sew, seam, mended
stolen, theft, robbed, mugged, taken, stole
stop, cancel, end, quit, unsubscribe, switch off, turn off
store, keep, storage
storm, weather, rain, wind
stove, cooker, burner, cook
stuck, swallowed, retained, ate, kept, eaten, not come out
student discount, discount, percent off
student, university, uni, college, school
subscription, recurring, direct debit, standing order, regular payment
sunday, weekend, saturday
support, accept, work with, compatible
surcharge, fee, extra charge
take back, accept
take it back, take back, pick up, come and take, return
taxes, vat, tax, tax number
tell me when, notify, alert, email me, let me know
tent, shelter, camping
terminate, close, cancel, leave
text, sms
throw out, retire, replace, discard
throw, dispose, recycle, empty
time, hours, when, schedule
top up, topup, topping up, add money, add funds, load, deposit
track, tracking, where is my, locate, follow, status
transaction, payment, purchase, transfer
transfer, send money, wire, payment, bank transfer
travel, trip, holiday, abroad, journey, vacation
try, test, attempt
tyre, tire, tube
unblock, unlock, unfreeze
unused, not used, new condition, not worn
unwell, cannot come, unable to attend
usa, america, england, scotland, europe > abroad, international, country, foreign
use, spend, redeem, apply
used, worn, second hand
vacation, away, on holiday
vanish, expire, lost, run out
verify, verification, prove, proof, confirm, identity check, identify
visa, mastercard, amex, american express
wait, waiting, how long, still
wallet, apple pay, google pay
wallet, purse
warm, temperature, comfort, cold
warranty, guarantee, guaranteed, covered
website, site, online, web page
weight, heavy, light, kilo, kg
why, because, reason
wide, narrow, broad
without, no
workshop, repair shop, mechanic
wrong size, too small, too big, does not fit
wrong, incorrect, mistake, not what i ordered, different, mistaken
zip, zipper
"""


def _read_meanings(text: str) -> dict[tuple[str, ...], set[str]]:
    """Return, for each word or phrase in stems, the single stems that mean the same."""
    meanings: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for line in text.strip().splitlines():
        asked, _, answered = line.partition(">")
        entries = _read_entries(asked)
        single = {
            entry[0] for entry in _read_entries(answered or asked) if len(entry) == 1
        }
        for entry in entries:
            meanings[entry] |= single - set(entry)
    return dict(meanings)


def _read_entries(text: str) -> list[tuple[str, ...]]:
    return [read_stems(entry) for entry in text.split(",")]


_MEANINGS = _read_meanings(_ENGLISH)
_MAX_WORDS = max(map(len, _MEANINGS))


def find_related(stems: Sequence[str]) -> set[str]:
    """Return the stems that mean the same as a word or phrase of `stems`.

    Stop words count in phrases ("how much") and mean nothing alone.
    """
    related: set[str] = set()
    for length in range(1, _MAX_WORDS + 1):
        for start in range(len(stems) - length + 1):
            phrase = tuple(stems[start : start + length])
            if length > 1 or phrase[0] not in STOP_STEMS:
                related |= _MEANINGS.get(phrase, set())
    return related - STOP_STEMS


def is_known(stem: str) -> bool:
    """Return whether the lexicon has the stem as a word of its own."""
    return (stem,) in _MEANINGS
