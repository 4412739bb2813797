/** Keeps what a page of the admin says of backends up to date; without it, reload the page. */
(() => {
  "use strict";

  const PAUSE_MS = 3000;
  const COLUMNS = ["at", "verdict", "said", "tokens", "ttft", "speed", "cost"];

  const drawTests = (body, tests) => {
    if (!tests.length) return;
    body.replaceChildren(...tests.map((test) => {
      const row = document.createElement("tr");
      row.className = `is-${test.verdict}`;
      row.append(...COLUMNS.map((name) => Object.assign(document.createElement("td"), { textContent: test[name] })));
      return row;
    }));
  };

  const refresh = async (part) => {
    if (document.hidden) return;
    const response = await fetch(part.dataset.refresh, { headers: { Accept: "application/json" } });
    if (!response.ok) return;
    const { fields, tests } = await response.json();
    for (const node of part.querySelectorAll("[data-status]")) {
      const text = fields[node.dataset.status];
      if (text !== undefined && node.textContent !== text) node.textContent = text || "-";
    }
    const body = part.querySelector("[data-tests]");
    if (body) drawTests(body, tests);
  };

  const keepFresh = (part) => {
    const round = async () => {
      try {
        await refresh(part);
      } catch {
        // the next round may fare better
      }
      setTimeout(round, PAUSE_MS);
    };
    setTimeout(round, PAUSE_MS);
  };

  document.addEventListener("DOMContentLoaded", () => {
    document.querySelectorAll("[data-refresh]").forEach(keepFresh);
    document.querySelectorAll("[data-reload]").forEach((part) => setTimeout(() => location.reload(), Number(part.dataset.reload)));
  });
})();
