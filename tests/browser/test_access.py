"""The widget for everybody: keyboard, screen reader, language, phone, dark rooms."""

import pytest
from playwright.sync_api import expect

PHONE = {
    "viewport": {"width": 390, "height": 844},
    "is_mobile": True,
    "has_touch": True,
}
FOCUSED = "document.querySelector('support-chat').shadowRoot.activeElement?.className"


def test_works_with_the_keyboard_alone(script, open_chat):
    script("say Good evening.")
    chat = open_chat("/help/")
    chat.launcher.focus()
    chat.page.keyboard.press("Enter")
    expect(chat.panel).to_be_visible()
    chat.page.keyboard.type("Hello")
    chat.page.keyboard.press("Shift+Enter")
    chat.page.keyboard.type("there")
    chat.page.keyboard.press("Enter")
    expect(chat.answers).to_have_text(["Good evening."])
    assert chat.transcript()[1] == "Hello\nthere"
    chat.page.keyboard.press("Shift+Tab")
    assert chat.page.evaluate(FOCUSED) == "thumb"
    chat.page.keyboard.press("Escape")
    expect(chat.panel).to_be_hidden()
    assert "launcher" in chat.page.evaluate(FOCUSED)


def test_focus_goes_back_to_the_button_that_opened_it(open_chat):
    chat = open_chat()
    button = chat.page.locator("[data-chat-open]").first
    expect(button).to_be_visible()
    button.focus()
    chat.page.keyboard.press("Enter")
    expect(chat.field).to_be_focused()
    chat.page.keyboard.press("Escape")
    expect(button).to_be_focused()


def test_reads_out_sentences_and_each_once(script, open_chat):
    script(
        'say "The tent "',
        "pause 0.1",
        "say is green. It sl",
        "pause 0.1",
        "say eeps two.",
    )
    chat = open_chat().open()
    chat.ask("Is there a green tent that sleeps two?")
    assert chat.announced() == "Fern is writing The tent is green. It sleeps two."
    expect(chat.find("[role=log]")).to_have_attribute("aria-live", "off")


def test_every_control_has_a_name(script, open_chat):
    script("say You can return unused items within 60 days of delivery.")
    chat = open_chat().open()
    chat.ask("How long do I have to return something?")
    nameless = """buttons => buttons.filter(b => !(b.ariaLabel || b.innerText.trim()))
        .map(b => b.className)"""
    assert chat.find("button:visible").evaluate_all(nameless) == []
    expect(chat.panel).to_have_attribute("role", "dialog")


SPY = """() => {
  const scrollTo = Element.prototype.scrollTo;
  window.behaviors = [];
  Element.prototype.scrollTo = function (place) {
    window.behaviors.push(place.behavior);
    return scrollTo.call(this, place);
  };
}"""


@pytest.mark.parametrize(
    ("wish", "behavior"), [("reduce", "instant"), ("no-preference", "smooth")]
)
def test_scrolls_smoothly_for_those_who_like_it(script, open_chat, wish, behavior):
    script("echo")
    chat = open_chat(reduced_motion=wish).open()
    chat.ask("up and down " * 100)
    chat.page.evaluate(SPY)
    chat.find(".scroller").evaluate("scroller => scroller.scrollTop = 0")
    chat.find(".jump").click()
    assert chat.page.evaluate("behaviors") == [behavior]


def test_speaks_the_language_of_the_browser(open_chat):
    chat = open_chat(locale="de-AT").open()
    expect(chat.field).to_have_attribute("placeholder", "Nachricht schreiben")
    expect(chat.find(".subtitle")).to_contain_text("KI-Assistent")


def test_arabic_runs_from_right_to_left(open_chat):
    chat = open_chat(locale="ar")
    assert chat.launcher.bounding_box()["x"] < 100
    chat.open()
    expect(chat.find(".root")).to_have_attribute("dir", "rtl")
    avatar = chat.find(".row .avatar").bounding_box()
    bubble = chat.find(".row .bubble").bounding_box()
    assert avatar["x"] > bubble["x"]


def test_fills_the_screen_of_a_phone_and_keeps_the_focus_in(open_chat):
    chat = open_chat(**PHONE).open()
    chat.page.wait_for_timeout(400)
    assert chat.panel.bounding_box() == {"x": 0, "y": 0, "width": 390, "height": 844}
    expect(chat.panel).to_have_attribute("aria-modal", "true")
    for _ in range(12):
        chat.page.keyboard.press("Tab")
        assert chat.page.evaluate("document.activeElement.tagName") == "SUPPORT-CHAT"


@pytest.mark.parametrize(
    "options",
    [
        {"color_scheme": "light"},
        {"color_scheme": "dark"},
        {"color_scheme": "dark", "locale": "ar"} | PHONE,
        {"reduced_motion": "reduce"} | PHONE,
    ],
    ids=["light", "dark", "dark-arabic-phone", "still-phone"],
)
def test_text_stands_out_from_its_ground(script, open_chat, options, tmp_path):
    script("say **Yes**, we do.")
    chat = open_chat(**options).open()
    chat.ask("Do you rent kayaks?")
    chat.page.wait_for_timeout(400)
    for role in ("user", "assistant"):
        row = chat.find(f".row[data-role={role}]").last.locator(".text")
        assert row.evaluate(CONTRAST) >= 4.5
    assert len(chat.page.screenshot(path=tmp_path / "chat.png")) > 20_000


def test_forced_colours_keep_the_outline_of_bubbles(open_chat):
    chat = open_chat(forced_colors="active").open()
    outline = (
        "e => [getComputedStyle(e).borderTopColor, getComputedStyle(e).backgroundColor]"
    )
    line, ground = chat.find(".bubble").first.evaluate(outline)
    assert line != ground


# the contrast of a text to the nearest painted ground behind it (WCAG 2.2)
CONTRAST = """element => {
  const canvas = document.createElement("canvas").getContext("2d");
  const luminance = (colour) => {
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    const [r, g, b] = Array.from(canvas.getImageData(0, 0, 1, 1).data, (v) => {
      const c = v / 255;
      return c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const text = luminance(getComputedStyle(element).color);
  const paint = (node) => getComputedStyle(node).backgroundColor;
  let ground = element;
  while (paint(ground) === "rgba(0, 0, 0, 0)") ground = ground.parentElement;
  const behind = luminance(paint(ground));
  return (Math.max(text, behind) + 0.05) / (Math.min(text, behind) + 0.05);
}"""
