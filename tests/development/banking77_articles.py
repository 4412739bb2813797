"""Seventy-seven short help articles of a bank, one for each intent of banking77.

They exist to measure retrieval on real customer questions, are our own writing, and
ship with nothing. Written from the names of the intents, before the questions were
read. Usage: `python tests/development/banking77_articles.py FOLDER` writes one
Markdown file for each intent, for `manage.py measure_retrieval FOLDER`.
"""

import sys
from pathlib import Path

ARTICLES = """
# activate_my_card | Activating your new card
keywords: activate card, activation, start using card, switch on new card
Your new card has to be activated before the first use. Open the app, choose the card and press Activate, then type the last four digits. You can also activate a card by making a first purchase with the PIN. If activation does not work, check that you chose the right card.

# age_limit | How old you have to be
keywords: minimum age, age limit, children, kids, teenager, under 18, young
You must be at least 18 years old to open an account. Children and teenagers cannot have an account of their own yet. Parents can open an account for a son or daughter once they turn 18.

# apple_pay_or_google_pay | Using Apple Pay and Google Pay
keywords: apple pay, google pay, mobile wallet, iphone, apple watch, pay by phone
Add your card to Apple Pay or Google Pay from the card page of the app. You can then pay with your phone or watch wherever contactless is accepted. You can also top up the account with Apple Pay or Google Pay.

# atm_support | Which cash machines take our cards
keywords: ATM, cash machine, nearest atm, withdraw money, where
You can withdraw money at any ATM that shows the sign of your card. Our cards work at nearly all cash machines in the world. The map in the app shows the ATMs near you.

# automatic_top_up | Automatic top-up
keywords: auto top-up, autotopup, low balance, set up automatic, recurring
With automatic top-up, money is added to the account when the balance falls below a limit you choose. Turn auto top-up on under Top up, and set the limit and the amount. You can change or switch off automatic top-up at any time, for instance before you travel.

# balance_not_updated_after_bank_transfer | A bank transfer to us is not in the balance yet
keywords: transfer not showing, balance not updated, sent money from my bank, waiting for deposit
When you send money to your account by bank transfer, the balance changes when the money reaches us. Domestic transfers usually show up in a few hours, international ones in a few days. If the transfer is not showing after that, check the account number you used and send us a receipt.

# balance_not_updated_after_cheque_or_cash_deposit | A cheque or cash deposit is not in the balance yet
keywords: cheque deposit, check deposit, cash deposit, not showing, balance not updated
A cheque that you paid in takes up to six working days to clear before it appears in your balance. A cash deposit is added by the next working day. If the deposited cash or cheque has still not been credited, send us a photo of the deposit slip.

# beneficiary_not_allowed | A recipient is not allowed
keywords: beneficiary, payee, recipient, not allowed, add beneficiary, cannot send to
Some beneficiaries cannot be added or paid, because we do not support their bank or country, or because the name does not fit the account. If you see that the beneficiary is not allowed, check the details or use another account of the same recipient.

# cancel_transfer | Cancelling a transfer
keywords: cancel transfer, reverse transaction, stop a payment, wrong account, undo, mistake, call back
You can cancel a transfer only while it is still pending. Open the transaction and press Cancel at once if you sent money to the wrong account or made a mistake. A transfer that is complete cannot be reversed by us, so ask the recipient to send it back.

# card_about_to_expire | Your card is about to expire
keywords: expiry date, expiring, expires, renew card, new card, replacement
We send you a new card a month before the old one expires. The new card goes to the address in the app, so check it before the expiry date. The old card works until the last day of the month printed on it.

# card_acceptance | Where you can pay with the card
keywords: accepted, which shops, merchants, stores, where can I use my card, online
You can use your card in all shops, restaurants and websites that accept its brand. Merchants rarely refuse it, but a few places take no cards from abroad. Look for the sign at the till.

# card_arrival | Your card has not arrived
keywords: card not arrived, still waiting, lost in the post, track card, delivery of card
If the card you ordered has not arrived, check in the app when it was sent and to which address. Cards have no tracking number. If you are still waiting after two weeks, the card may be lost in the post and we send another.

# card_delivery_estimate | How long a card takes to be delivered
keywords: delivery time, how many days, express delivery, fast, when will I get my card, choose delivery day
A new card is delivered within 5 to 7 working days. Express delivery takes 2 days and costs extra. You cannot choose the day of delivery, and delivery abroad may take longer.

# card_linking | Linking a card to the app
keywords: link card, add card, connect, reconnect, found my card, put card back
To link a card you already have, open the app, choose Cards, press Link a card and type its number. If you reported a card lost and found it again, you can unfreeze it and connect it to the app again.

# card_not_working | Your card does not work
keywords: card not working, broken card, does not work, faulty, damaged chip
If your card is not working at all, check that it is activated, not frozen, and not expired. Clean the chip and try another shop or machine. If the card is broken or damaged, order a new one in the app.

# card_payment_fee_charged | A fee was charged for a card payment
keywords: charged a fee, extra charge, card payment fee, paying by card costs, surcharge
We do not charge a fee for paying with your card. If you were charged an additional fee on a purchase, the merchant may have added a surcharge. Paying in a foreign currency may bring a fee, which is shown with the payment.

# card_payment_not_recognised | A card payment you do not recognise
keywords: unknown payment, unrecognised, fraud, did not make, suspicious purchase, strange transaction, someone used my card
If there is a card payment in your statement that you did not make, first check the name, since shops often use a different company name. If you still do not recognise the purchase, freeze the card at once and report the transaction as fraud in the app.

# card_payment_wrong_exchange_rate | The exchange rate of a card payment looks wrong
keywords: wrong exchange rate, foreign purchase, abroad, rate incorrect, conversion, charged too much
A card payment in another currency uses the exchange rate of the moment when the shop takes the money, not when you pay. The rate you were given for an item bought abroad can therefore look wrong. If the merchant converted the amount for you, the rate was theirs.

# card_swallowed | The cash machine kept your card
keywords: ATM swallowed card, machine ate my card, stuck, took my card, retained, get card back
If an ATM has swallowed your card, freeze the card in the app straight away. If the machine belongs to an open bank, ask inside to get it back. Otherwise order a replacement, because machines destroy the cards they keep.

# cash_withdrawal_charge | Fees for taking out cash
keywords: ATM fee, withdrawal fee, charged for withdrawing, cash withdrawal cost, free withdrawals
Cash withdrawals are free up to a monthly limit, and then we charge a fee of 2 percent. The owner of the ATM may charge a fee for a withdrawal too. The machine shows that charge before you take out the cash.

# cash_withdrawal_not_recognised | A cash withdrawal you did not make
keywords: unknown withdrawal, ATM fraud, did not withdraw, stolen cash, somebody took money
If your account shows a cash withdrawal that you did not make, someone may have your card and PIN. Freeze the card, then report the unknown ATM withdrawal to us. Check first whether somebody in your family took out the money.

# change_pin | Changing your PIN
keywords: change PIN, new PIN, set PIN, choose own pin
You can change the PIN of your card at most ATMs under PIN services. Choose Change PIN and type the new PIN twice. It works abroad too, at machines that offer it.

# compromised_card | Somebody else may be using your card
keywords: card compromised, card details stolen, hacked, fraud, someone else using my card, copied
If you think that your card details were stolen or that another person is using your card, freeze the card in the app immediately. We then block the compromised card, check the latest transactions with you and send a new one.

# contactless_not_working | Contactless payments do not work
keywords: contactless, tap, NFC, wave, touch payment
Contactless works only after a first payment with chip and PIN. If contactless is not working, hold the card to the reader for longer, or check that contactless is switched on in the app. There is a limit for a single tap.

# country_support | Countries we support
keywords: which countries, where available, abroad, outside Europe, live in, located, US, EU
We offer accounts and cards to residents of the UK, Switzerland and the European Economic Area. If you live in another country, you cannot open an account yet. The cards can be used in almost every country.

# declined_card_payment | Your card payment was declined
keywords: payment declined, rejected, card refused, would not go through, purchase denied
A card payment is declined when the balance is too low, the card is frozen, a limit is reached or the details were typed wrongly. The app tells you why the payment was declined. Check it and try the purchase again.

# declined_cash_withdrawal | Your cash withdrawal was declined
keywords: ATM declined, cannot withdraw cash, refused, machine would not give me money, denied
An ATM declines a cash withdrawal when your balance is too low, the withdrawal limit is reached or the PIN was wrong. Some machines do not accept foreign cards. Try to get money from another machine.

# declined_transfer | Your transfer was declined
keywords: transfer declined, transfer rejected, refused, cannot transfer, will not let me send money
A transfer is declined when the details of the recipient are wrong, your balance is too low, or a limit is reached. Check the account number and try the transfer again. The money stays in your account when a transfer was declined.

# direct_debit_payment_not_recognised | A direct debit you do not recognise
keywords: direct debit, unknown, not set up, unauthorised, subscription, standing order, did not authorise
If you see a direct debit that you did not set up, check whether it belongs to a subscription or bill. A direct debit payment you never authorised can be disputed within eight weeks. Cancel the mandate in the app and we get the money back.

# disposable_card_limits | Limits of disposable virtual cards
keywords: disposable card limit, how many disposable cards, maximum, per day, number of transactions
You can make up to 5 disposable virtual cards a day. Each disposable card can be used for one transaction. The maximum amount is the same limit as that of your other cards.

# edit_personal_details | Changing your personal details
keywords: change address, change name, married, moved, new phone number, update details, email, edit
You change your address, phone number and email in the app under Personal details. When you have moved, update the address before ordering a card. To change your name, for example after you got married, upload a new document.

# exchange_charge | Fees for exchanging currency
keywords: exchange fee, charge for exchanging, currency conversion fee, cost, markup, discount
Exchanging currencies is free on weekdays up to a monthly limit. Above that limit and on weekends we charge a small exchange fee. The app shows the charge before you exchange.

# exchange_rate | Exchange rates
keywords: exchange rate, what rate, interbank, foreign exchange rates, current rate, good rate
We use the interbank exchange rate, which changes all the time. You see the current rate for every pair of currencies in the app. On weekends the rate is fixed with a small margin.

# exchange_via_app | Exchanging money in the app
keywords: exchange currency, convert, change money, foreign currency, buy dollars, switch pounds to euros
To exchange money from one currency to another, open Exchange in the app, choose the two currencies and the amount, and confirm. The app can also exchange on its own when a rate you want is reached.

# extra_charge_on_statement | An extra pound on your statement
keywords: extra charge, £1 charge, one dollar, 1 pound, small fee, strange fee, statement, pending £1
An extra charge of one pound on your statement is a test by a merchant, for example a hotel or petrol station, that your card is valid. The £1 fee is not taken and comes back within ten days.

# failed_transfer | Your transfer failed
keywords: transfer failed, did not go through, could not complete, error, problem, unsuccessful
A transfer fails when the other bank does not answer or rejects it after you have sent it. If your transfer failed, the money comes back to your account within a day. Check the account number and try the transfer once more.

# fiat_currency_support | Currencies you can hold
keywords: which currencies, hold money, supported currencies, fiat, multiple currencies, euros, dollars, pounds
You can hold and exchange money in 30 fiat currencies, such as pounds, euros and US dollars. Open a new currency in the app with one tap. Currencies that are not in the list are not supported.

# get_disposable_virtual_card | Getting a disposable virtual card
keywords: disposable virtual card, one-time card, single use, temporary card, create
A disposable virtual card is used once and then gets a new number, which makes online shopping safer. To get one, open Cards, press Add and choose Disposable virtual card. Disposable cards are not for subscriptions.

# get_physical_card | Finding the PIN of your physical card
keywords: where is my PIN, card PIN, see pin, physical card, received pin
The PIN of your physical card is in the app: open the card and press Show PIN. The PIN does not come by post with the card. You can see the PIN as soon as the physical card has been ordered.

# getting_spare_card | Getting a spare or second card
keywords: spare card, second card, additional card, extra card, card for my wife, family member, another card
You can order a second card as a spare. An additional physical card costs a small fee, and you can have up to three. An extra card for a family member, such as your daughter or wife, is linked to the same account.

# getting_virtual_card | Getting a virtual card
keywords: virtual card, create virtual card, order virtual card, online card, how do I get
A virtual card exists only in the app and is ready at once, for shopping online. To get a virtual card, open Cards, press Add and choose Virtual card. The number and the expiry date are shown there.

# lost_or_stolen_card | Your card is lost or was stolen
keywords: lost card, stolen card, missing, cannot find my card, report, block card, wallet
If you lost your card or it was stolen, freeze the card in the app right away so that nobody can use it. Then report it lost or stolen and order a replacement. You can unfreeze a card that you find again.

# lost_or_stolen_phone | Your phone is lost or was stolen
keywords: lost phone, stolen phone, mobile, mugged, new phone, block account, app access
If you lost your phone or somebody stole it, sign in to our website from another device and sign out the old phone. Nobody can use the app without your passcode. Install the app on a new phone to use your account again.

# order_physical_card | Ordering a physical card
keywords: order card, physical card, get a card, real card, how much, apply, new card, price
You can order a physical card in the app under Cards. Press Order a card, choose Physical, and confirm the address. The first physical card costs a small delivery fee.

# passcode_forgotten | You forgot your passcode
keywords: forgot passcode, reset passcode, app password, cannot log in, access code, locked out of app
If you have forgotten the passcode of the app, press Forgot passcode on the login screen. We send a link to your email, and you choose a new passcode. For safety we ask for a selfie when you reset it.

# pending_card_payment | A card payment is pending
keywords: pending payment, still pending, card payment, not completed, why pending, cancel pending
A card payment is pending until the merchant takes the money, which can take up to a week. A pending payment already lowers your balance. If the shop never collects it, the pending payment is cancelled by itself.

# pending_cash_withdrawal | A cash withdrawal is pending
keywords: pending withdrawal, ATM pending, cash not received, still pending, withdrawal in progress
A cash withdrawal stays pending until the bank that owns the ATM confirms it, usually for a day or two. If the machine gave you no cash, the pending withdrawal is returned to your account by itself.

# pending_top_up | A top-up is pending
keywords: top-up pending, still pending, topping up, not arrived, waiting for top up, money not available
A top-up is pending while your bank confirms it. Most top-ups take minutes, and a pending top-up can take an hour or, with a new card, a day. You cannot use the money while the top up is pending.

# pending_transfer | A transfer is pending
keywords: transfer pending, still pending, not completed, how long pending, in progress
A transfer is pending while we check it and wait for the other bank. Transfers between banks may stay pending until the next working day. If a transfer has been pending for more than three days, tell us.

# pin_blocked | Your PIN is blocked
keywords: PIN blocked, wrong PIN, too many attempts, unblock, unlock pin, entered incorrectly, tries
After three wrong attempts the PIN of your card is blocked. You can unblock it in the app under Card, Unblock PIN, or at an ATM under PIN services. Look up the right PIN in the app before you try again.

# receiving_money | Receiving money and your salary
keywords: receive money, get paid, salary, paycheck, income, employer, from friends, another currency
You can receive money from anyone by giving them your account details. Your salary can be paid into the account by your employer. Money that you receive in another currency is kept in it or converted, as you like.

# Refund_not_showing_up | A refund is not showing
keywords: refund missing, refund not received, merchant refunded, returned item, where is my refund, statement
When a merchant gives a refund, it can take up to ten days until you see it in your account. If a refund is not showing up after that, ask the shop for the reference and send it to us.

# request_refund | Asking for a refund
keywords: request refund, want money back, get refund, return purchase, cancel purchase, item never arrived, dispute
For a refund of something you bought, ask the seller first, since only the merchant can give the money back. If the seller refuses or the item never arrived, open the payment in the app and request a refund as a dispute.

# reverted_card_payment? | A card payment was returned to you
keywords: payment reverted, reversed, cancelled, money returned, payment came back, sent back to my account
A card payment is reverted when the merchant cancels it or does not collect the money in time. The amount returns to your balance. If your payment was reverted although you bought something, the shop may charge you again.

# supported_cards_and_currencies | Cards and currencies for topping up
keywords: top up with credit card, debit card, supported cards, which cards, currency of top-up, american express, add money
You can top up with Visa and Mastercard debit and credit cards, in any supported currency. American Express cards cannot be used to add money. A card from a bank abroad, such as a US card, works too.

# terminate_account | Closing your account
keywords: close account, delete account, terminate, cancel account, leave, unhappy with service
To close your account, withdraw the remaining money and choose Close account under Settings. We delete the account within a day and keep only what the law requires. We are sorry to see you go.

# top_up_by_bank_transfer_charge | Fees for topping up by bank transfer
keywords: bank transfer fee, charge, SEPA, SWIFT, cost of transfer top-up, free
Topping up by bank transfer is free of charge from our side. Your own bank may charge a fee, above all for international SWIFT transfers. SEPA transfers in euros usually cost nothing.

# top_up_by_card_charge | Fees for topping up by card
keywords: top-up fee, card charge, charged for top up, cost, credit card fee, foreign card
Topping up with a debit card is free. A charge of one percent applies when you top up with a credit card or with a card from another continent. The top-up fee is shown before you confirm.

# top_up_by_cash_or_cheque | Topping up with cash or a cheque
keywords: cash, cheque, check, deposit, pay in, top up by cash
You can top up with cash at partner shops: show the barcode in the app and hand over the money. A cheque can be posted to us or paid in by a photo in the app. You cannot deposit cash at an ATM.

# top_up_failed | Your top-up failed
keywords: top-up failed, top up not working, rejected, declined top up, cannot add money, unsuccessful
A top-up fails when your bank declines it, the card details are wrong or a limit is reached. If topping up did not work, check the details and try another card. No money leaves your bank when a top-up failed.

# top_up_limits | Limits for topping up
keywords: top-up limit, maximum amount, how much can I add, per month, increase limit
The limit for topping up depends on how far your identity is verified. You find your top-up limits, and how much of them is left, in the app. There is a maximum amount per day and per year.

# top_up_reverted | Your top-up was returned
keywords: top-up reverted, reversed, cancelled, top up disappeared, money gone, returned to bank
A top-up is reverted when your bank calls the money back or when our checks fail. The money you added disappears from the balance and returns to your card within a few days. Contact your bank to learn why the top-up was reversed.

# topping_up_by_card | Topping up by card
keywords: top up with card, add money, debit card, credit card, put money in account, how to
To top up by card, open Top up in the app, type the card number and the amount, and confirm. The money is in your account at once. Save the card to add money faster next time.

# transaction_charged_twice | You were charged twice
keywords: charged twice, double charge, duplicate, same transaction, two times, paid twice
If the same transaction is charged twice, one of the two is often a reservation that disappears in some days. If both payments remain, ask the merchant to refund the duplicate, or dispute the double charge in the app.

# transfer_fee_charged | A fee was charged for a transfer
keywords: transfer fee, charged for transfer, why fee, sending money cost, international transfer
Transfers within the country are free. For an international transfer we charge a fee, which the app shows before you send the money. A bank in between may charge the transfer too, so that the recipient gets less.

# transfer_into_account | Paying money in by bank transfer
keywords: transfer into account, move money, from another bank, bank transfer, account details, fund account
To transfer money into your account from another bank, use the account number and sort code shown in the app under Top up, Bank transfer. Send it from an account in your own name, and add the reference.

# transfer_not_received_by_recipient | The recipient has not received your transfer
keywords: not received, recipient, friend, money not arrived, has not got the money, where is transfer
If the person you sent money to has not received the transfer, check that it is marked as complete and that the account number is right. The recipient's bank can need some days. We can give you a proof of the transfer for their bank.

# transfer_timing | How long transfers take
keywords: how long, transfer time, when arrive, days, SEPA, international, urgent, fast
A transfer within the country arrives within hours. A transfer to Europe takes one or two working days, and one to other countries, such as China or the US, three to five days. Transfers are not processed on weekends.

# unable_to_verify_identity | Your identity could not be verified
keywords: cannot verify, identity check failed, verification not working, document rejected, problem, selfie
If we were unable to verify your identity, the photo of your document may be blurred, cut off or expired. Take the picture again in good light and try once more. If the app still will not verify you, send us the documents in the chat.

# verify_my_identity | How to verify your identity
keywords: verify identity, identity check, documents, passport, ID, what do I need, steps, prove who I am
To verify your identity, take a photo of your passport, ID card or driving licence and a selfie in the app. The identity check takes about ten minutes. You need no other documents.

# verify_source_of_funds | Where your money comes from
keywords: source of funds, source of money, where money came from, origin, proof of income
The law requires us to check the source of your funds when large amounts arrive. You can show where the money came from with a payslip, a contract of sale or a bank statement. Upload it in the app under Source of funds.

# verify_top_up | Verifying a top-up card
keywords: verify top-up, verification code, top up verification, confirm card, code on statement
To verify the card you top up with, type the code that stands beside a small payment on your card statement. Verification of a top-up is needed once for every card. You find the field under Top up, Verify.

# virtual_card_not_working | Your virtual card does not work
keywords: virtual card not working, declined online, disposable card rejected, does not work, subscription
If your virtual card is not working, check that it is not frozen and that the number was typed correctly. A disposable virtual card is rejected the second time and by shops that store the card for a subscription.

# visa_or_mastercard | Visa or Mastercard
keywords: visa, mastercard, which card type, choose, scheme, network
We offer both Visa and Mastercard, depending on the country. When you order a card, the app shows which of the two you get. You cannot always choose between Mastercard and Visa.

# why_verify_identity | Why we verify your identity
keywords: why verify, why identity check, reason, do I have to, privacy, personal information, required
We have to verify your identity because the law against money laundering requires it of every bank. Without the identity check you can use only part of the account. Your details are kept safe and used for nothing else.

# wrong_amount_of_cash_received | The cash machine gave the wrong amount
keywords: wrong amount, ATM gave less, cash missing, not all the money, dispensed, short
If an ATM gave you a different amount of cash than you asked for, keep the receipt and report it to us in the app. The owner of the machine counts the cash, and the missing amount is returned to your account.

# wrong_exchange_rate_for_cash_withdrawal | The exchange rate of a cash withdrawal looks wrong
keywords: ATM exchange rate, wrong rate, cash abroad, withdrawal conversion, foreign currency cash
When you withdraw cash abroad, the exchange rate of the moment applies. If the rate of an ATM withdrawal looks wrong, the machine may have offered its own conversion. Always choose the local currency at a cash machine.
"""


def write_articles(folder: Path) -> int:
    """Write one Markdown file for each intent and return their number."""
    folder.mkdir(parents=True, exist_ok=True)
    blocks = ARTICLES.strip().removeprefix("# ").split("\n\n# ")
    for block in blocks:
        heading, keywords, body = block.split("\n", 2)
        intent, title = heading.split(" | ")
        front = f"---\ntitle: {title}\ncategory: Bank\n{keywords}\n---\n"
        (folder / f"{intent.strip('?')}.md").write_text(f"{front}\n{body}\n")
    return len(blocks)


if __name__ == "__main__":
    sys.stdout.write(f"{write_articles(Path(sys.argv[1]))} articles\n")
