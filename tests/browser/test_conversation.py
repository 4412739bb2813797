"""A visitor asks, the answer comes, whatever happens in between."""

from playwright.sync_api import expect

RETURNS = "You can return unused items within 60 days of delivery."
# no numbers and no words: a reply that states what stands nowhere is taken back
WORDS = [f"{first}{second}v " for first in "bcdfgklm" for second in "aeiou"]
LONG = "".join(WORDS).strip()
SLOWLY = [line for word in WORDS for line in (f'say "{word}"', "pause 0.08")]


def test_answers_with_a_link_to_the_article(script, open_chat):
    script(f"say {RETURNS}")
    chat = open_chat().open()
    assert chat.ask("How long do I have to return something?") == RETURNS
    source = chat.find(".sources a").first
    expect(source).to_have_text("Returning an item")
    expect(source).to_have_attribute("target", "_blank")
    with chat.page.expect_popup() as popup:
        source.click()
    expect(popup.value.locator(":target")).to_have_text("How long you have")


def test_reload_in_mid_answer_goes_on(script, open_chat):
    script(*SLOWLY)
    chat = open_chat().open()
    chat.say("Tell me a long story")
    expect(chat.streaming).to_contain_text("bi")
    seen = chat.streaming.inner_text().strip()
    chat.page.reload()
    expect(chat.streaming).to_contain_text(seen)
    assert chat.streaming.inner_text().startswith(seen)
    expect(chat.answers).to_have_text([LONG])


def test_stop_keeps_what_was_shown(script, open_chat):
    script(*SLOWLY)
    chat = open_chat().open()
    chat.say("Tell me a long story")
    expect(chat.streaming).to_contain_text("bi")
    seen = chat.streaming.inner_text().strip()
    chat.find(".stop").click()
    expect(chat.streaming).to_have_count(0)
    answer = chat.answers.last.inner_text()
    assert answer.startswith(seen)
    assert len(answer) < len(LONG)


def test_stopped_answer_says_so_after_a_reload(script, open_chat):
    script(*SLOWLY)
    chat = open_chat().open()
    chat.say("Tell me a long story")
    expect(chat.streaming).to_contain_text("bi")
    chat.find(".stop").click()
    state = chat.find(".row[data-role=assistant] .state").last
    expect(state).to_have_text("Stopped")
    transcript = chat.transcript()
    chat.page.reload()
    expect(state).to_have_text("Stopped")
    assert chat.transcript() == transcript


def test_sends_once_when_the_server_is_back(script, open_chat, server):
    script("say Here I am.")
    chat = open_chat().open()
    chat.ask("Are you there?")
    server.kill()
    chat.say("And now?")
    expect(chat.find(".row[data-state=pending]")).to_have_count(1)
    expect(chat.banner).to_contain_text("connection is lost")
    server.start()
    expect(chat.answers).to_have_count(2, timeout=40_000)
    assert chat.transcript()[1::2] == ["Are you there?", "And now?"]
    assert chat.transcript()[2::2] == ["Here I am.", "Here I am."]


def test_two_tabs_show_the_same_order(script, open_chat):
    script("echo")
    first = open_chat().open()
    first.ask("one")
    second = open_chat(context=first.page.context).open()
    expect(second.answers).to_have_count(1)
    first.say("from the first")
    second.say("from the second")
    expect(first.answers).to_have_count(3)
    expect(second.answers).to_have_count(3)
    assert first.transcript() == second.transcript()


def test_markup_is_text_and_runs_nowhere(script, open_chat):
    hostile = (
        '<img src=x onerror="hacked=1"><script>hacked=1</script>'
        "[link](javascript:hacked=1) ![pixel](https://evil.example/pixel)"
    )
    script(f"say {hostile}")
    chat = open_chat().open()
    requests = []
    chat.page.on("request", lambda request: requests.append(request.url))
    answer = chat.ask(hostile)
    assert chat.transcript()[1] == hostile
    assert "<script>" in answer
    assert chat.find(".row :is(img, script, a[href^='javascript'])").count() == 0
    assert chat.page.evaluate("typeof hacked") == "undefined"
    assert [url for url in requests if "127.0.0.1" not in url] == []


def test_asks_for_a_person_and_says_so_honestly(open_chat):
    chat = open_chat().open()
    chat.find(".person").click()
    expect(chat.banner).to_contain_text("no promise when")
    expect(chat.find(".person")).to_have_text("Marked for our team")
    expect(chat.find(".row[data-notice=handoff_requested]")).to_have_count(1)
    chat.page.reload()
    expect(chat.banner).to_contain_text("no promise when")


def test_remembers_the_thumb(script, open_chat):
    script("say Yes.")
    chat = open_chat().open()
    chat.ask("Do you like me?")
    thumb = chat.find(".thumb").first
    thumb.click()
    expect(thumb).to_have_attribute("aria-pressed", "true")
    expect(chat.find(".thanks")).to_have_text("Thank you")
    chat.page.wait_for_timeout(300)
    chat.page.reload()
    expect(thumb).to_have_attribute("aria-pressed", "true")


def test_counts_what_came_while_it_was_closed(script, open_chat):
    script("pause 0.8", "say Here you are.")
    chat = open_chat().open()
    chat.say("Where is it?")
    expect(chat.find(".row[data-state=streaming]")).to_have_count(1)
    chat.find(".header-button").last.click()
    expect(chat.find(".badge")).to_have_text("1")
    expect(chat.find(".teaser-text")).to_have_text("Here you are.")
    chat.find(".teaser-open").click()
    expect(chat.panel).to_be_visible()
    expect(chat.find(".badge")).to_be_hidden()


def test_failed_answer_can_be_asked_again(script, open_chat):
    script("fail RequestRejected")
    chat = open_chat().open()
    chat.say("Does it work?")
    expect(chat.find(".row[data-notice=reply_failed]")).to_have_count(1)
    script("say Better now.")
    chat.find(".choice").filter(has_text="Ask again").click()
    expect(chat.answers.last).to_have_text("Better now.")


def test_begins_a_new_conversation(script, open_chat):
    script("echo")
    chat = open_chat().open()
    chat.ask("private words")
    chat.find(".header-button").first.click()
    chat.find(".confirm .primary").click()
    expect(chat.rows).to_have_count(1)
    assert "fresh words" in chat.ask("fresh words")
    assert "private words" not in " ".join(chat.transcript())


def test_counts_characters_near_the_limit(open_chat):
    chat = open_chat().open()
    chat.field.fill("x" * 1900)
    expect(chat.find(".hint")).to_have_text("100 characters left")
    chat.field.fill("x" * 2001)
    expect(chat.find(".hint")).to_have_text("1 characters too long")
    expect(chat.find(".send")).to_be_disabled()
