/** Buttons marked data-chat-open open the chat; they are shown once the widget is there. */
(() => {
  "use strict";

  const buttons = document.querySelectorAll("[data-chat-open]");
  const show = () => buttons.forEach((button) => { button.hidden = false; });

  buttons.forEach((button) => button.addEventListener("click", () => window.supportChat.open()));
  if (window.supportChat) show();
  else window.addEventListener("supportchat:ready", show, { once: true });
})();
