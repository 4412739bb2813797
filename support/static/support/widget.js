/**
 * The support chat widget: one file, no dependency, no build step.
 *
 *   <script async src="https://HOST/widget.js" data-site="KEY"></script>
 *
 * Options: data-position="left|right", data-locale="de", data-theme="auto|light|dark", data-open.
 * Colours, sizes and spacing: CSS custom properties on the element, `support-chat { --support-chat-accent: #a33 }`.
 * For the page: `supportChat.open() .close() .toggle() .reset() .on(event, listener)`. See docs/widget.md.
 *
 * Read it in this order: Transcript (what is known, no browser needed), Connection (the wire, see
 * docs/protocol.md), View (what is seen), SupportChat (joins the three). Texts and styles are at the end.
 * The widget works under a strict Content-Security-Policy: no inline style, no eval, no markup from strings
 * but the `html` of a message, which the server has sanitised.
 */
(() => {
  "use strict";

  const script = document.currentScript;
  if (!script || window.supportChat) return;

  const PROTOCOL = 1;
  const ACK_WAIT_MS = 10_000;
  const WELCOME_WAIT_MS = 10_000;
  const PING_AFTER_MS = 20_000;
  const SILENCE_MS = 40_000;
  const FAILED_AFTER_MS = 15_000;
  const HIDDEN_CLOSE_MS = 5 * 60_000;
  const GROUP_WITHIN_MS = 5 * 60_000;
  const RENEW_BEFORE_MS = 60_000;
  const PHONE = "(max-width: 479px), (max-height: 459px) and (pointer: coarse)";

  // --- small things ---------------------------------------------------------------------------------

  /** Return the number of Unicode code points, the unit of every offset and limit. */
  function countCharacters(text) {
    let count = 0;
    for (const _ of text) count += 1;
    return count;
  }

  /** Return the pause before the next connection: growing, jittered, longer when the server asks for it. */
  function pauseAfter(closeCode, failures) {
    const growing = Math.min(30_000, 500 * 2 ** Math.min(failures, 6));
    const atLeast = closeCode === 4429 ? 60_000 : closeCode === 1013 || closeCode === 4408 ? 5_000 : 0;
    return atLeast + growing * (0.5 + Math.random() / 2);
  }

  /** Return an id that no other message has; randomUUID exists in secure contexts only. */
  function newClientId() {
    const bytes = crypto.getRandomValues(new Uint8Array(16));
    return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  }

  /** Return the complete sentences of a text and how many of its characters they take. */
  function finishedSentences(text, from, isWhole) {
    const rest = text.slice(from);
    const end = isWhole ? rest.length : Math.max(0, ...Array.from(rest.matchAll(/[.!?؟。]["”»)]*\s|\n/g), (m) => m.index + m[0].length));
    return { sentences: rest.slice(0, end).trim(), until: from + end };
  }

  /** Return an element; `props` are properties, attributes (with a dash, or role) and on* listeners. */
  function h(tag, props = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(props)) {
      if (value === null || value === undefined || value === false) continue;
      if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
      else if (name === "class") element.className = value;
      else if (name in element && !name.includes("-")) element[name] = value;
      else element.setAttribute(name, value === true ? "" : value);
    }
    element.append(...children.filter((child) => child !== null && child !== undefined));
    return element;
  }

  /** Return an SVG icon of 24 by 24 from the paths in ICONS. */
  function icon(name) {
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    svg.setAttribute("viewBox", "0 0 24 24");
    svg.setAttribute("class", `icon icon-${name}`);
    svg.setAttribute("aria-hidden", "true");
    for (const d of ICONS[name]) {
      const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
      path.setAttribute("d", d);
      svg.append(path);
    }
    return svg;
  }

  const ICONS = {
    chat: ["M20 11.2c0 4-3.7 7.2-8.2 7.2-1 0-2-.2-2.9-.5L4.5 19.6l1.1-3.7A6.7 6.7 0 0 1 3.6 11.2C3.6 7.2 7.3 4 11.8 4S20 7.2 20 11.2Z", "M8.3 11.2h.01M11.8 11.2h.01M15.3 11.2h.01"],
    down: ["m6 9.5 6 6 6-6"],
    close: ["M6.5 6.5l11 11M17.5 6.5l-11 11"],
    send: ["M12 19V5.5", "m5.5 12 6.5-6.5 6.5 6.5"],
    stop: ["M8.5 7h7A1.5 1.5 0 0 1 17 8.5v7a1.5 1.5 0 0 1-1.5 1.5h-7A1.5 1.5 0 0 1 7 15.5v-7A1.5 1.5 0 0 1 8.5 7Z"],
    up: ["M7.5 10.5v9H4.8a.8.8 0 0 1-.8-.8v-7.4a.8.8 0 0 1 .8-.8Z", "M7.5 10.5 11 3.8c1.6 0 2.6 1.2 2.3 2.8l-.6 2.9h5.1c1.3 0 2.2 1.2 1.9 2.4l-1.3 5.9c-.2 1-1.1 1.7-2.1 1.7H7.5"],
    thumbdown: ["M7.5 13.5v-9H4.8a.8.8 0 0 0-.8.8v7.4c0 .4.4.8.8.8Z", "M7.5 13.5 11 20.2c1.6 0 2.6-1.2 2.3-2.8l-.6-2.9h5.1c1.3 0 2.2-1.2 1.9-2.4l-1.3-5.9c-.2-1-1.1-1.7-2.1-1.7H7.5"],
    person: ["M12 12a3.8 3.8 0 1 0 0-7.6 3.8 3.8 0 0 0 0 7.6Z", "M5 19.8c.8-3.2 3.6-5 7-5s6.2 1.8 7 5"],
    compose: ["M12.5 5H6.8C5.8 5 5 5.8 5 6.8v10.4c0 1 .8 1.8 1.8 1.8h10.4c1 0 1.8-.8 1.8-1.8v-5.7", "m10 14 .6-2.9 7.7-7.7a1.6 1.6 0 0 1 2.3 2.3l-7.7 7.7Z"],
    page: ["M7 3.8h6.5L18 8.3v10.9c0 .6-.4 1-1 1H7c-.6 0-1-.4-1-1V4.8c0-.6.4-1 1-1Z", "M13.3 4v4.5h4.5M9 12.5h6M9 16h4"],
    alert: ["M12 8v5M12 16.3h.01", "M12 20.5a8.5 8.5 0 1 0 0-17 8.5 8.5 0 0 0 0 17Z"],
    clock: ["M12 7.5V12l3 2", "M12 20.5a8.5 8.5 0 1 0 0-17 8.5 8.5 0 0 0 0 17Z"],
    leaf: ["M12 19.5c1.5-4.12 5.25-5.25 7.5-4.65 -0.6 3 -3.38 4.95 -7.5 4.65ZM12 19.5c-1.5-4.12 -5.25-5.25 -7.5-4.65 0.6 3 3.38 4.95 7.5 4.65ZM12 15.75c1.28-3.51 4.46-4.46 6.38-3.95 -0.51 2.55 -2.87 4.21 -6.38 3.95ZM12 15.75c-1.28-3.51 -4.46-4.46 -6.38-3.95 0.51 2.55 2.87 4.21 6.38 3.95ZM12 12.19c1.01-2.78 3.54-3.54 5.06-3.14 -0.41 2.02 -2.28 3.34 -5.06 3.14ZM12 12.19c-1.01-2.78 -3.54-3.54 -5.06-3.14 0.41 2.02 2.28 3.34 5.06 3.14ZM12 9c0.75-2.06 2.62-2.62 3.75-2.33 -0.3 1.5 -1.69 2.48 -3.75 2.33ZM12 9c-0.75-2.06 -2.62-2.62 -3.75-2.33 0.3 1.5 1.69 2.48 3.75 2.33ZM12 8c-1.8-1.8-1.8-4.1 0-6 1.8 1.9 1.8 4.2 0 6ZM11.5 6h1v16h-1Z"],
  };

  /** What the browser keeps: the visitor's secret for all tabs, the open panel and unsent texts for this one. */
  class Memory {
    constructor(site) {
      this.key = `support-chat:${site}`;
      this.fallback = {};
    }

    /** Return {renewal, conversation, read} or an empty object. */
    get shared() {
      return this.load("localStorage", this.key);
    }

    /** Return {open, draft, outbox} or an empty object. */
    get tab() {
      return this.load("sessionStorage", this.key);
    }

    updateShared(changes) {
      this.store("localStorage", { ...this.shared, ...changes });
    }

    updateTab(changes) {
      this.store("sessionStorage", { ...this.tab, ...changes });
    }

    forget() {
      this.store("localStorage", {});
    }

    /** Call `listener` when another tab began, renewed, read or left the conversation. */
    watch(listener) {
      window.addEventListener("storage", (event) => {
        if (event.key === this.key || event.key === null) listener();
      });
    }

    load(area) {
      try {
        return JSON.parse(window[area].getItem(this.key)) || {};
      } catch {
        return this.fallback[area] || {};
      }
    }

    store(area, value) {
      this.fallback[area] = value;
      try {
        window[area].setItem(this.key, JSON.stringify(value));
      } catch {
        // private windows and full disks: this page view still works
      }
    }
  }

  // --- what is known of the conversation ------------------------------------------------------------

  /**
   * Messages by seq, running turns, unsent texts. Frames go in by `apply`; no DOM and no network here.
   *
   * `lastSeq` is the last message up to which nothing is missing, `heardOf` the last that is known to exist.
   * The text of a turn is always a prefix of the reply that will be stored, or the server said `reset`.
   */
  class Transcript {
    constructor() {
      this.outbox = [];
      this.clear();
    }

    clear() {
      this.messages = new Map();
      this.turns = new Map();
      this.finished = new Set();
      this.lastSeq = 0;
      this.heardOf = 0;
      this.hasMore = false;
      this.status = "bot";
      this.isReplaying = false;
    }

    get ordered() {
      return [...this.messages.values()].sort((a, b) => a.seq - b.seq);
    }

    get firstSeq() {
      return Math.min(...this.messages.keys());
    }

    get isMissing() {
      return this.heardOf > this.lastSeq;
    }

    get isEmpty() {
      return this.messages.size === 0 && this.outbox.length === 0;
    }

    /** Return the turn to show: the one that has text, else the oldest. */
    get current() {
      const turns = [...this.turns.values()].sort((a, b) => a.question - b.question);
      return turns.find((turn) => turn.state === "running") || turns[0] || null;
    }

    /** Return what a hello says about the screen: all messages up to `last_seq`, and the running text. */
    get position() {
      const turn = this.current;
      const position = { last_seq: this.lastSeq };
      if (turn && turn.state === "running") Object.assign(position, { turn: turn.id, attempt: turn.attempt, offset: turn.length });
      return position;
    }

    /** Take in one frame of the server; return "gap" when text or a message was lost on the way. */
    apply(frame) {
      switch (frame.type) {
        case "welcome": return this.beginReplay(frame);
        case "replay_done": return this.endReplay();
        case "message": return this.store(frame.message);
        case "history": return this.prepend(frame);
        case "turn": return this.noteTurn(frame);
        case "delta": return this.append(frame);
        case "reset": return this.restart(frame);
        case "done": return this.store({ ...frame.message, state: frame.state, turn: frame.turn });
        case "ack": return this.acknowledge(frame);
        case "status": this.status = frame.status; return null;
        case "rated": return this.noteRating(frame);
        default: return null;
      }
    }

    beginReplay(frame) {
      if (frame.last_seq < this.lastSeq) this.clear();
      this.status = frame.status;
      this.isReplaying = true;
      this.replayHasMore = frame.has_more;
      for (const turn of this.turns.values()) turn.isStale = true;
      return null;
    }

    endReplay() {
      this.isReplaying = false;
      for (const turn of [...this.turns.values()]) if (turn.isStale) this.turns.delete(turn.id);
      return null;
    }

    store(message) {
      const { seq } = message;
      if (this.isReplaying && this.replayHasMore && seq > this.lastSeq + 1) this.skipTo(seq);
      this.messages.set(seq, { ...this.messages.get(seq), ...message });
      while (this.messages.has(this.lastSeq + 1)) this.lastSeq += 1;
      if (message.client_id) this.outbox = this.outbox.filter((entry) => entry.client_id !== message.client_id);
      if (message.role !== "user" && message.turn) {
        this.turns.delete(message.turn);
        this.finished.add(message.turn);
      }
      this.heardOf = Math.max(this.heardOf, seq);
      return this.isMissing ? "gap" : null;
    }

    /** Begin anew at `seq`: the server sent the latest messages only, what is older comes by `history`. */
    skipTo(seq) {
      this.messages.clear();
      this.lastSeq = seq - 1;
      this.hasMore = true;
    }

    prepend(frame) {
      for (const message of frame.messages) this.messages.set(message.seq, message);
      this.hasMore = frame.has_more;
      return null;
    }

    noteTurn(frame) {
      if (this.finished.has(frame.turn)) return null;
      const turn = this.turn(frame.turn);
      turn.isStale = false;
      turn.question = frame.question_seq;
      turn.state = frame.state;
      if (frame.attempt > turn.attempt) Object.assign(turn, { attempt: frame.attempt, text: "", length: 0 });
      this.heardOf = Math.max(this.heardOf, frame.question_seq);
      return this.isMissing ? "gap" : null;
    }

    append(frame) {
      if (this.finished.has(frame.turn)) return null;
      const turn = this.turn(frame.turn);
      turn.isStale = false;
      if (frame.attempt < turn.attempt) return null;
      if (frame.attempt > turn.attempt) Object.assign(turn, { attempt: frame.attempt, text: "", length: 0 });
      if (frame.offset > turn.length) return "gap";
      const fresh = Array.from(frame.text).slice(turn.length - frame.offset);
      turn.text += fresh.join("");
      turn.length += fresh.length;
      turn.state = "running";
      return null;
    }

    restart(frame) {
      const turn = this.finished.has(frame.turn) ? null : this.turn(frame.turn);
      if (turn && frame.attempt >= turn.attempt) Object.assign(turn, { attempt: frame.attempt, text: "", length: 0, isStale: false });
      return null;
    }

    acknowledge(frame) {
      const entry = this.outbox.find((item) => item.client_id === frame.client_id);
      if (frame.turn && !this.finished.has(frame.turn) && !this.isAnswered(frame.seq)) this.turn(frame.turn).question = frame.seq;
      if (!entry) return null;
      return this.store({
        id: frame.message, seq: frame.seq, role: "user", content: entry.content, html: "",
        created_at: new Date(entry.at).toISOString(), client_id: entry.client_id, turn: frame.turn,
        notice: null, state: null, citations: [], rating: 0,
      });
    }

    isAnswered(seq) {
      const question = this.messages.get(seq);
      return Boolean(question && question.turn && this.finished.has(question.turn));
    }

    noteRating(frame) {
      for (const message of this.messages.values()) if (message.id === frame.message) message.rating = frame.rating;
      return null;
    }

    turn(id) {
      if (!this.turns.has(id)) this.turns.set(id, { id, question: Infinity, state: "queued", attempt: 0, text: "", length: 0, since: Date.now() });
      return this.turns.get(id);
    }
  }

  // --- the wire -------------------------------------------------------------------------------------

  /**
   * One visitor's session and socket: token, hello, heartbeat, reconnect.
   *
   * `state` is idle, connecting, ready, waiting (for the next try) or refused. The listener has
   * `onFrame(frame)`, `onState()`, `onSession(conversation)`, `onLost()` and `position()` for the hello.
   */
  class Connection {
    constructor(base, site, memory, listener) {
      Object.assign(this, { base, site, memory, listener });
      this.state = "idle";
      this.refusal = null;
      this.failures = 0;
      this.token = null;
      this.generation = 0;
    }

    get isReady() {
      return this.state === "ready";
    }

    /** Fetch the site's public texts. */
    async config() {
      return this.call(`/widget/config?site=${encodeURIComponent(this.site)}`);
    }

    /** Connect unless connected, connecting or refused; with `now`, do not wait for the next try. */
    start(now = false) {
      if (this.state === "idle" || (now && this.state === "waiting")) this.connect();
    }

    /** Leave the socket; the next start connects again. */
    close() {
      this.generation += 1;
      clearTimeout(this.timer);
      clearInterval(this.heartbeat);
      if (this.socket) this.socket.close(1000);
      this.socket = null;
      this.setState("idle");
    }

    /** Forget the session too. */
    reset() {
      this.token = null;
      this.failures = 0;
      this.refusal = null;
      this.close();
    }

    /** The socket does not answer: drop it and try again. */
    restart() {
      const socket = this.socket;
      this.closed(socket, 1006);
      if (socket) socket.close();
    }

    /** Send a frame; return false when there is no connection to send it by. */
    send(frame) {
      if (!this.isReady && frame.type !== "hello") return false;
      if (!this.socket || this.socket.readyState !== WebSocket.OPEN) return false;
      this.socket.send(JSON.stringify(frame));
      return true;
    }

    /** Say again what is on the screen, so that what is missing is sent. */
    hello() {
      this.send({ type: "hello", protocol: PROTOCOL, token: this.token, ...this.listener.position() });
    }

    /** Put a fresh token on the open socket. */
    async renewToken() {
      this.token = null;
      const socket = this.socket;
      try {
        await this.ensureToken();
      } catch (error) {
        return this.failed(error);
      }
      if (socket === this.socket) this.send({ type: "token", token: this.token });
      return null;
    }

    async connect() {
      const generation = ++this.generation;
      clearTimeout(this.timer);
      if (this.socket) this.socket.close();
      this.socket = null;
      this.setState("connecting");
      try {
        await this.ensureToken();
      } catch (error) {
        if (generation === this.generation) this.failed(error);
        return;
      }
      if (generation !== this.generation) return;
      const socket = new WebSocket(`${this.base.replace(/^http/, "ws")}/ws/chat/`);
      this.socket = socket;
      this.timer = setTimeout(() => this.restart(), WELCOME_WAIT_MS);
      socket.onopen = () => this.hello();
      socket.onmessage = (event) => socket === this.socket && this.heard(event.data);
      socket.onclose = (event) => this.closed(socket, event.code);
    }

    heard(data) {
      this.lastHeard = Date.now();
      const frame = JSON.parse(data);
      if (frame.type === "welcome") {
        clearTimeout(this.timer);
        this.failures = 0;
        this.beat();
      }
      this.listener.onFrame(frame);
      if (frame.type === "replay_done") this.setState("ready");
    }

    /** Ping when nothing was heard for a while; give the socket up when nothing answers. */
    beat() {
      clearInterval(this.heartbeat);
      const look = () => {
        const silence = Date.now() - this.lastHeard;
        if (this.pinged && silence > SILENCE_MS) return this.restart();
        this.pinged = silence > PING_AFTER_MS;
        if (this.pinged) this.send({ type: "ping" });
        if (this.token && Date.now() > this.renewAt) this.renewToken();
        return null;
      };
      this.pinged = false;
      this.heartbeat = setInterval(look, PING_AFTER_MS / 2);
    }

    closed(socket, code) {
      if (socket !== this.socket) return;
      this.socket = null;
      clearTimeout(this.timer);
      clearInterval(this.heartbeat);
      if (code === 4400) return this.refuse("outdated");
      if (code === 4403) return this.refuse("forbidden");
      if (code === 4401) this.token = null;
      return this.wait(pauseAfter(code, this.failures++), code === 4429);
    }

    /** A call before the socket went wrong. */
    failed(error) {
      if (error.status === 403 || error.status === 404) return this.refuse("forbidden");
      return this.wait(Math.max(error.retryAfterMs || 0, pauseAfter(1006, this.failures++)), error.status === 429);
    }

    refuse(reason) {
      this.refusal = reason;
      this.setState("refused");
    }

    /** Try again after a pause; `isCrowded` says that the server refused one tab or request too many. */
    wait(pauseMs, isCrowded) {
      clearTimeout(this.timer);
      Object.assign(this, { isCrowded, retryAt: Date.now() + pauseMs });
      this.timer = setTimeout(() => this.connect(), pauseMs);
      this.setState("waiting");
    }

    setState(state) {
      this.state = state;
      this.listener.onState();
    }

    /** Have a token that lives long enough; tabs take turns, so that they share one conversation. */
    async ensureToken() {
      if (this.token && Date.now() < this.renewAt) return;
      const fetchToken = () => this.openSession();
      await (navigator.locks ? navigator.locks.request(`${this.memory.key}:session`, fetchToken) : fetchToken());
    }

    async openSession() {
      const { renewal } = this.memory.shared;
      let session;
      try {
        session = await this.call("/widget/session", { site: this.site, ...(renewal && { renewal }) });
      } catch (error) {
        if (error.status !== 401 || !renewal) throw error;
        this.memory.forget();
        this.listener.onLost();
        session = await this.call("/widget/session", { site: this.site });
      }
      this.token = session.token;
      this.renewAt = Date.now() + session.expires_in_s * 1000 - Math.min(RENEW_BEFORE_MS, session.expires_in_s * 250);
      this.memory.updateShared({ renewal: session.renewal || renewal, conversation: session.conversation });
      this.listener.onSession(session.conversation);
    }

    /** Return the answer of a JSON call; raises an Error with `status` and `retryAfterMs`. */
    async call(path, body) {
      const options = body && { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
      const response = await fetch(this.base + path, { ...options, credentials: "omit", signal: AbortSignal.timeout(WELCOME_WAIT_MS) });
      if (response.ok) return response.json();
      const { error = {} } = await response.json().catch(() => ({}));
      throw Object.assign(new Error(error.message || response.statusText), { status: response.status, retryAfterMs: error.retry_after_ms });
    }
  }

  // --- what is seen ---------------------------------------------------------------------------------

  /** Return the items of the transcript in order: about, greeting, days, messages, unsent texts, running reply. */
  function buildItems({ transcript, config, locale, texts }) {
    const items = [];
    if (!transcript.hasMore) {
      items.push({ key: "about", kind: "line", text: texts("about", { bot: config.bot_name }) });
      items.push({ key: "greeting", kind: "message", role: "assistant", content: config.greeting, isGreeting: true });
    }
    for (const message of transcript.ordered) items.push(messageItem(message));
    for (const entry of transcript.outbox) {
      items.push({ key: `client:${entry.client_id}`, kind: "message", role: "user", content: entry.content, entry, delivery: entry.state, at: new Date(entry.at) });
    }
    const turn = transcript.current;
    if (turn) items.push({ key: `turn:${turn.id}`, kind: "message", role: "assistant", content: turn.text, isStreaming: true, isEmpty: turn.length === 0 });
    if (transcript.isEmpty && config.suggested_questions.length) items.push({ key: "suggestions", kind: "suggestions" });
    return withDays(markGroups(items), locale, texts);
  }

  /** Return the item of a stored message; a reply keeps the key of its turn, so that its bubble stays. */
  function messageItem(message) {
    const isUser = message.role === "user";
    const key = isUser && message.client_id ? `client:${message.client_id}` : !isUser && message.turn ? `turn:${message.turn}` : `seq:${message.seq}`;
    return { key, kind: "message", role: message.role, content: message.content, message, at: new Date(message.created_at) };
  }

  /** Mark the first and the last message of each run by one author within five minutes. */
  function markGroups(items) {
    const joins = (a, b) => a && b && a.kind === "message" && b.kind === "message" && a.role === b.role && !(a.at && b.at && b.at - a.at > GROUP_WITHIN_MS);
    items.forEach((item, index) => {
      item.isFirst = !joins(items[index - 1], item);
      item.isLast = !joins(item, items[index + 1]);
    });
    return items;
  }

  /** Put a separator before each day but the only one, when that is today. */
  function withDays(items, locale, texts) {
    const dayOf = (item) => item.at && item.at.toDateString();
    const days = new Set(items.map(dayOf).filter(Boolean));
    if (days.size === 0 || (days.size === 1 && days.has(new Date().toDateString()))) return items;
    let shown = null;
    return items.flatMap((item) => {
      const day = dayOf(item);
      if (!day || day === shown) return [item];
      shown = day;
      return [{ key: `day:${day}`, kind: "line", text: dayName(item.at, locale), isDay: true }, item];
    });
  }

  function dayName(date, locale) {
    const midnight = (value) => new Date(value).setHours(0, 0, 0, 0);
    const daysAgo = Math.round((midnight(Date.now()) - midnight(date)) / 86_400_000);
    if (daysAgo > 1) return new Intl.DateTimeFormat(locale, { weekday: "long", day: "numeric", month: "long" }).format(date);
    const name = new Intl.RelativeTimeFormat(locale, { numeric: "auto" }).format(-daysAgo, "day");
    return name.charAt(0).toLocaleUpperCase(locale) + name.slice(1);
  }

  /** Return a time to wait in the language's own words, in seconds or, when it is long, minutes. */
  function spellTime(waitMs, locale) {
    const seconds = Math.max(1, Math.ceil(waitMs / 1000));
    const [unit, count] = seconds < 100 ? ["second", seconds] : ["minute", Math.ceil(seconds / 60)];
    return new Intl.NumberFormat(locale, { style: "unit", unit, unitDisplay: "long" }).format(count);
  }

  /** Return a message's sanitised HTML as nodes; links open in a new tab and know nothing of the page. */
  function htmlContent(html, base) {
    const template = document.createElement("template");
    template.innerHTML = markupPolicy ? markupPolicy.createHTML(html) : html;
    for (const link of template.content.querySelectorAll("a[href]")) prepareLink(link, link.getAttribute("href"), base);
    return template.content;
  }

  /** Return what a message quotes: of our own words around it the widget has its own. */
  function quotations(html, base) {
    return [...htmlContent(html, base).querySelectorAll("blockquote")];
  }

  /** Point a link at `url`, seen from the server; drop what is not http, https or mail. */
  function prepareLink(link, url, base) {
    const target = URL.canParse(url, base) ? new URL(url, base) : null;
    if (!target || !["http:", "https:", "mailto:", "tel:"].includes(target.protocol)) link.removeAttribute("href");
    else Object.assign(link, { href: target.href, target: "_blank", rel: "noopener noreferrer nofollow ugc" });
    return link;
  }

  // pages that enforce Trusted Types allow it by `trusted-types support-chat`
  const markupPolicy = (() => {
    try {
      return window.trustedTypes && window.trustedTypes.createPolicy("support-chat", { createHTML: (html) => html });
    } catch {
      return null;
    }
  })();

  /** One message on the screen; it is updated in place, so that focus and selection stay. */
  class Row {
    constructor(view, item) {
      this.view = view;
      this.text = h("div", { class: "text", dir: "auto" });
      this.bubble = h("div", { class: "bubble" }, this.text);
      this.extra = h("div", { class: "extra" });
      this.time = h("time");
      this.state = h("span", { class: "state" });
      this.thumbs = h("span", { class: "thumbs" });
      this.meta = h("div", { class: "meta" }, this.time, this.state, this.thumbs);
      this.author = h("span", { class: "hidden" });
      this.name = h("span", { class: "name" });
      this.stack = h("div", { class: "stack" }, this.name, this.author, this.bubble, this.extra, this.meta);
      this.node = h("li", { class: "row" }, item.role === "user" ? null : h("span", { class: "avatar" }, icon(item.role === "staff" ? "person" : "leaf")), this.stack);
      this.drawn = {};
    }

    update(item) {
      const { message = {} } = item;
      Object.assign(this.node.dataset, { role: item.role, first: item.isFirst, last: item.isLast, state: item.delivery || (item.isStreaming ? "streaming" : "stored"), notice: message.notice || "" });
      this.draw("content", item.content + (message.html || "") + (item.isStreaming ? "…" : "") + message.notice, () => this.drawContent(item));
      this.draw("extra", JSON.stringify([message.citations, message.notice, item.delivery]), () => this.drawExtra(item));
      this.draw("author", item.role, () => this.drawAuthor(item));
      this.draw("meta", `${item.at}${message.rating}${message.state}${message.notice}${item.delivery}`, () => this.drawMeta(item));
    }

    /** Call `paint` when what it shows has changed. */
    draw(part, signature, paint) {
      if (this.drawn[part] === signature) return;
      this.drawn[part] = signature;
      paint();
    }

    drawAuthor(item) {
      const { texts, config } = this.view;
      const name = { user: texts("you"), staff: texts("staff"), assistant: config.bot_name }[item.role];
      this.author.textContent = `${name}: `;
      this.name.textContent = item.role === "staff" ? texts("staff") : "";
    }

    drawContent(item) {
      const { texts, base } = this.view;
      const { message } = item;
      if (item.isStreaming && item.isEmpty) return this.text.replaceChildren(this.view.typing());
      const wording = message && message.notice && texts(`notice_${message.notice}`);
      if (message && message.notice === "reply_excerpt") return this.text.replaceChildren(h("p", {}, wording), ...quotations(message.html, base));
      if (wording) return this.text.replaceChildren(wording);
      if (message && message.role !== "user" && message.html) return this.text.replaceChildren(htmlContent(message.html, base));
      const text = this.text.firstChild;
      if (item.isStreaming && text && text.nodeType === Node.TEXT_NODE && item.content.startsWith(text.data)) return text.appendData(item.content.slice(text.data.length));
      return this.text.replaceChildren(document.createTextNode(item.content));
    }

    drawExtra(item) {
      const { message, delivery } = item;
      const parts = [];
      if (message && message.citations.length) parts.push(this.sources(message.citations));
      if (message && ["reply_failed", "reply_excerpt"].includes(message.notice)) parts.push(this.failedActions(message));
      if (delivery === "failed") parts.push(this.unsentActions(item.entry));
      this.extra.replaceChildren(...parts);
    }

    sources(citations) {
      const { texts, base } = this.view;
      const links = citations.map(({ title, heading, url }) => {
        const hasTwin = citations.filter((other) => other.title === title).length > 1;
        const [label, more] = hasTwin && heading ? [heading, title] : [title, heading];
        const link = h("a", { title: more }, icon("page"), h("span", { dir: "auto" }, label));
        return h("li", {}, prepareLink(link, url, base));
      });
      return h("div", { class: "sources" }, h("span", { class: "sources-label" }, texts("sources")), h("ul", {}, ...links));
    }

    failedActions(message) {
      const { texts, actions } = this.view;
      return h("div", { class: "choices" },
        h("button", { type: "button", class: "choice", onclick: () => actions.askAgain(message) }, texts("ask_again")),
        h("button", { type: "button", class: "choice", onclick: () => actions.requestPerson() }, texts("person")));
    }

    unsentActions(entry) {
      const { texts, actions, input } = this.view;
      return h("div", { class: "choices" },
        h("button", { type: "button", class: "choice", onclick: () => { actions.retry(entry); input.focus(); } }, texts("retry")),
        h("button", { type: "button", class: "choice", onclick: () => { actions.discard(entry); input.focus(); } }, texts("discard")));
    }

    drawMeta(item) {
      const { texts, locale } = this.view;
      const { message, delivery } = item;
      this.time.textContent = item.at ? new Intl.DateTimeFormat(locale, { hour: "numeric", minute: "2-digit" }).format(item.at) : "";
      this.time.dateTime = item.at ? item.at.toISOString() : "";
      this.state.textContent = delivery ? texts(`delivery_${delivery}`) : message && message.state === "stopped" ? texts("stopped") : "";
      const canRate = message && message.role === "assistant" && (!message.notice || message.notice === "reply_unsure");
      if (!canRate) return this.thumbs.replaceChildren();
      if (!this.thumbs.firstChild) this.thumbs.append(this.thumb(1, "up"), this.thumb(-1, "thumbdown"), h("span", { class: "thanks" }));
      const [up, down, thanks] = this.thumbs.children;
      up.setAttribute("aria-pressed", message.rating === 1);
      down.setAttribute("aria-pressed", message.rating === -1);
      thanks.textContent = message.rating ? texts("thanks") : "";
      this.message = message;
      return null;
    }

    thumb(rating, name) {
      const { texts, actions } = this.view;
      const label = texts(rating === 1 ? "helpful" : "unhelpful");
      const rate = () => actions.rate(this.message, this.message.rating === rating ? 0 : rating);
      return h("button", { type: "button", class: "thumb", "aria-label": label, title: label, "aria-pressed": "false", onclick: rate }, icon(name));
    }
  }

  /** The launcher and the panel in their shadow tree; shows what it is given and calls `actions`. */
  class View {
    constructor({ base, locale, texts, position, theme }, actions) {
      Object.assign(this, { base, locale, texts, actions });
      this.config = { name: "", bot_name: texts("assistant"), greeting: texts("greeting"), suggested_questions: [] };
      this.rows = new Map();
      this.isOpen = false;
      this.sticks = true;
      this.phone = window.matchMedia(PHONE);
      this.calm = window.matchMedia("(prefers-reduced-motion: reduce)");
      this.host = document.createElement("support-chat");
      this.host.dataset.theme = theme;
      if (position) this.host.dataset.position = position;
      this.shadow = this.host.attachShadow({ mode: "open" });
      const sheet = new CSSStyleSheet();
      sheet.replaceSync(STYLES);
      this.shadow.adoptedStyleSheets = [sheet];
      this.shadow.append(this.build());
      this.listen();
    }

    // building

    build() {
      this.announcer = h("div", { class: "hidden", "aria-live": "polite" });
      this.root = h("div", { class: "root", lang: this.locale, dir: RIGHT_TO_LEFT.test(this.locale) ? "rtl" : "ltr" },
        this.buildTeaser(), this.buildLauncher(), this.buildPanel(), this.announcer);
      return this.root;
    }

    buildLauncher() {
      this.badge = h("span", { class: "badge", hidden: true });
      this.launcher = h("button", { type: "button", class: "launcher", "aria-expanded": "false", onclick: () => this.actions.toggle() }, icon("chat"), icon("down"), this.badge);
      return this.launcher;
    }

    buildTeaser() {
      this.teaserText = h("span", { class: "teaser-text", dir: "auto" });
      const label = this.texts("dismiss");
      this.teaser = h("div", { class: "teaser", hidden: true },
        h("button", { type: "button", class: "teaser-open", onclick: () => this.actions.open() }, h("span", { class: "avatar" }, icon("leaf")), this.teaserText),
        h("button", { type: "button", class: "teaser-close", "aria-label": label, title: label, onclick: () => this.dismissTeaser() }, icon("close")));
      return this.teaser;
    }

    buildPanel() {
      this.log = h("ol", { class: "log", role: "log", "aria-live": "off", "aria-label": this.texts("transcript") });
      this.older = h("button", { type: "button", class: "older choice", hidden: true, onclick: () => this.actions.older() }, this.texts("older"));
      this.scroller = h("div", { class: "scroller", tabIndex: 0, role: "group", "aria-label": this.texts("transcript"), onscroll: () => this.scrolled() }, this.older, this.log);
      const label = this.texts("newest");
      this.jump = h("button", { type: "button", class: "jump", hidden: true, "aria-label": label, title: label, onclick: () => this.scrollToEnd() }, icon("down"));
      this.banner = h("div", { class: "banner", hidden: true });
      this.panel = h("section", { class: "panel", role: "dialog", "aria-label": this.texts("chat") },
        this.buildHeader(), this.banner, h("div", { class: "middle" }, this.scroller, this.jump), this.buildComposer(), this.buildConfirm());
      return this.panel;
    }

    buildHeader() {
      const { texts } = this;
      this.title = h("h2", { class: "title", tabIndex: -1 });
      this.subtitle = h("p", { class: "subtitle" });
      const button = (name, label, onclick) => h("button", { type: "button", class: "header-button", "aria-label": label, title: label, onclick }, icon(name));
      this.startOver = button("compose", texts("start_over"), () => this.askToStartOver());
      this.minimise = button("down", texts("minimise"), () => this.actions.close());
      return h("header", { class: "header" }, h("span", { class: "avatar" }, icon("leaf")), h("div", { class: "titles" }, this.title, this.subtitle), this.startOver, this.minimise);
    }

    buildComposer() {
      const { texts, actions } = this;
      this.input = h("textarea", { class: "input", rows: 1, dir: "auto", placeholder: texts("placeholder"), "aria-label": texts("placeholder"), "aria-describedby": "hint", enterKeyHint: "send", oninput: () => this.typed() });
      this.send = h("button", { type: "submit", class: "round send", "aria-label": texts("send"), title: texts("send") }, icon("send"));
      this.stop = h("button", { type: "button", class: "round stop", "aria-label": texts("stop"), title: texts("stop"), hidden: true, onclick: () => this.pressStop() }, icon("stop"));
      this.hint = h("span", { class: "hint", id: "hint" });
      this.person = h("button", { type: "button", class: "person", onclick: () => actions.requestPerson() }, icon("person"), h("span", {}, texts("person")));
      return h("form", { class: "composer", onsubmit: (event) => this.submit(event) },
        h("div", { class: "field" }, this.input, this.stop, this.send),
        h("div", { class: "below" }, this.person, this.hint));
    }

    buildConfirm() {
      const { texts } = this;
      this.confirm = h("div", { class: "confirm", role: "alertdialog", "aria-labelledby": "confirm-text", hidden: true },
        h("div", { class: "confirm-card" },
          h("p", { id: "confirm-text" }, texts("start_over_question")),
          h("div", { class: "choices" },
            h("button", { type: "button", class: "choice primary", onclick: () => this.answerStartOver(true) }, texts("start_over")),
            h("button", { type: "button", class: "choice", onclick: () => this.answerStartOver(false) }, texts("cancel")))));
      return this.confirm;
    }

    listen() {
      this.root.addEventListener("keydown", (event) => this.pressed(event));
      // shortcuts of the page must not fire while somebody types here
      for (const name of ["keydown", "keyup", "keypress"]) this.root.addEventListener(name, (event) => event.stopPropagation());
      this.phone.addEventListener("change", () => this.fitPhone());
      if (window.visualViewport) for (const name of ["resize", "scroll"]) window.visualViewport.addEventListener(name, () => this.fitPhone());
    }

    // showing

    setConfig(config) {
      this.config = { ...this.config, ...config };
      if (config.accent_color) this.host.style.setProperty("--site-accent", config.accent_color);
    }

    /** Draw the next frame; once, however often it is asked for. */
    schedule(draw) {
      if (this.isScheduled) return;
      this.isScheduled = true;
      const run = () => {
        this.isScheduled = false;
        draw();
      };
      if (document.hidden) setTimeout(run);
      else requestAnimationFrame(run);
    }

    render(state) {
      const { transcript } = state;
      this.renderHeader(state);
      this.renderLauncher(state);
      this.older.hidden = !transcript.hasMore;
      const before = this.scroller.scrollHeight;
      const wasAbove = this.firstShown > transcript.firstSeq;
      this.firstShown = transcript.firstSeq;
      this.renderItems(buildItems({ transcript, config: this.config, locale: this.locale, texts: this.texts }));
      if (wasAbove) this.scroller.scrollTop += this.scroller.scrollHeight - before;
      else if (this.sticks) this.scroller.scrollTop = this.scroller.scrollHeight;
      const turn = transcript.current;
      this.stop.hidden = !turn || turn.state !== "running";
      this.stop.disabled = Boolean(turn && turn.isStopping);
      this.startOver.hidden = transcript.isEmpty;
      this.person.setAttribute("aria-disabled", Boolean(state.isWaiting || state.wantsPerson));
      this.person.lastChild.textContent = this.texts(state.isWaiting ? "person_waiting" : state.wantsPerson ? "person_asking" : "person");
      this.typed(false);
    }

    renderHeader({ banner }) {
      this.title.textContent = this.config.bot_name;
      this.subtitle.textContent = [this.texts("disclosure"), this.config.name].filter(Boolean).join(" · ");
      const signature = banner ? `${banner.name}${banner.text}` : "";
      if (signature === this.bannerShown) return;
      this.bannerShown = signature;
      if (banner && banner.name === this.bannerName) {
        // a countdown: its button keeps the focus
        this.banner.querySelector("span").textContent = banner.text;
        return;
      }
      if (banner && this.isOpen) this.announce(banner.text);
      this.bannerName = banner && banner.name;
      this.banner.hidden = !banner;
      this.banner.dataset.kind = banner ? banner.kind : "";
      const action = banner && banner.action && h("button", { type: "button", class: "banner-action", onclick: banner.action }, banner.actionText);
      this.banner.replaceChildren(...(banner ? [icon(banner.icon), h("span", {}, banner.text)] : []), ...(action ? [action] : []));
    }

    renderLauncher({ unread, latest }) {
      const { texts, isOpen } = this;
      const count = new Intl.NumberFormat(this.locale).format(Math.min(unread, 99));
      this.badge.textContent = unread > 99 ? `${count}+` : count;
      this.badge.hidden = unread === 0 || isOpen;
      const label = isOpen ? texts("minimise") : unread ? `${texts("open")} (${texts("unread", { count })})` : texts("open");
      this.launcher.setAttribute("aria-label", label);
      this.teaser.hidden = isOpen || unread === 0 || this.dismissed === latest;
      this.latest = latest;
      if (!this.teaser.hidden) this.teaserText.textContent = latest;
    }

    dismissTeaser() {
      this.dismissed = this.latest;
      this.teaser.hidden = true;
      this.launcher.focus();
    }

    /** Bring the list to the items' order; what stays is moved only if it has to be. */
    renderItems(items) {
      const keys = new Set(items.map((item) => item.key));
      for (const [key, row] of this.rows) {
        if (keys.has(key)) continue;
        row.node.remove();
        this.rows.delete(key);
      }
      let place = this.log.firstChild;
      for (const item of items) {
        const row = this.rows.get(item.key) || this.newRow(item);
        row.update(item);
        if (row.node === place) place = place.nextSibling;
        else this.log.insertBefore(row.node, place);
      }
    }

    newRow(item) {
      const row = item.kind === "message" ? new Row(this, item) : item.kind === "suggestions" ? this.suggestionsRow() : this.lineRow(item);
      this.rows.set(item.key, row);
      return row;
    }

    lineRow(item) {
      const node = h("li", { class: item.isDay ? "line day" : "line" });
      return { node, update: ({ text }) => { if (node.textContent !== text) node.textContent = text; } };
    }

    suggestionsRow() {
      const node = h("li", { class: "suggestions" });
      const update = () => {
        if (node.childElementCount) return;
        node.append(...this.config.suggested_questions.map((question) => h("button", { type: "button", class: "choice", dir: "auto", onclick: () => this.ask(question) }, question)));
      };
      return { node, update };
    }

    typing() {
      return h("span", { class: "typing", role: "img", "aria-label": this.texts("typing", { bot: this.config.bot_name }) }, h("i"), h("i"), h("i"), h("span", { class: "slow" }, this.texts("slow")));
    }

    /** Say a text to screen readers. */
    announce(text) {
      if (!text) return;
      this.announcer.append(h("p", {}, text));
      while (this.announcer.childElementCount > 6) this.announcer.firstChild.remove();
    }

    // opening and closing

    open(takesFocus = true) {
      this.isOpen = true;
      const active = document.activeElement;
      this.opener = takesFocus && active && active !== document.body && active !== this.host ? active : this.launcher;
      this.root.classList.add("open");
      this.launcher.setAttribute("aria-expanded", "true");
      this.fitPhone();
      this.scrollToEnd(false);
      if (takesFocus) (this.phone.matches ? this.title : this.input).focus({ preventScroll: true });
    }

    close() {
      const hadFocus = document.activeElement === this.host;
      this.isOpen = false;
      this.root.classList.remove("open");
      this.launcher.setAttribute("aria-expanded", "false");
      this.answerStartOver(false);
      this.fitPhone();
      if (hadFocus) (this.opener && this.opener.isConnected ? this.opener : this.launcher).focus({ preventScroll: true });
    }

    /** Fill the part of a phone's screen that its keyboard leaves, and hold the page behind still. */
    fitPhone() {
      const isFull = this.isOpen && this.phone.matches;
      this.panel.setAttribute("aria-modal", isFull);
      const viewport = window.visualViewport;
      if (isFull && viewport) {
        this.panel.style.setProperty("--view-height", `${viewport.height}px`);
        this.panel.style.setProperty("--view-top", `${viewport.offsetTop}px`);
      }
      const { style } = document.documentElement;
      if (isFull && !this.isHolding) this.overflow = style.overflow;
      if (isFull) style.overflow = "hidden";
      else if (this.isHolding) style.overflow = this.overflow;
      this.isHolding = isFull;
    }

    pressed(event) {
      if (event.isComposing || event.keyCode === 229) return;
      if (event.key === "Escape" && !this.confirm.hidden) this.answerStartOver(false);
      else if (event.key === "Escape" && this.isOpen) this.actions.close();
      else if (event.key === "Enter" && !event.shiftKey && event.target === this.input) this.submit(event);
      else if (event.key === "Tab" && this.isOpen && (this.phone.matches || !this.confirm.hidden)) this.keepFocus(event);
    }

    /** Let the focus go round inside the full screen, or inside the question that is asked. */
    keepFocus(event) {
      const area = this.confirm.hidden ? this.panel : this.confirm;
      const stops = [...area.querySelectorAll("button, a[href], textarea, [tabindex='0']")].filter((element) => !element.disabled && element.checkVisibility());
      const edge = event.shiftKey ? stops[0] : stops.at(-1);
      if (this.shadow.activeElement !== edge) return;
      event.preventDefault();
      (event.shiftKey ? stops.at(-1) : stops[0]).focus();
    }

    askToStartOver() {
      this.confirm.hidden = false;
      this.confirm.querySelector("button").focus();
    }

    answerStartOver(isYes) {
      if (this.confirm.hidden) return;
      this.confirm.hidden = true;
      (isYes ? this.input : this.startOver).focus();
      if (isYes) this.actions.reset();
    }

    // writing

    /** Fit the field to its text, show the counter near the limit, and keep the draft. */
    typed(isInput = true) {
      const { input, limit } = this;
      const left = limit - countCharacters(input.value.trim());
      const isNear = left < Math.min(200, limit / 5);
      const number = new Intl.NumberFormat(this.locale).format(Math.abs(left));
      const words = isNear ? this.texts(left < 0 ? "too_long_by" : "left", { count: number }) : "";
      if (this.hint.textContent !== words) this.hint.textContent = words;
      if (left < 0 && !this.hint.classList.contains("bad")) this.announce(words);
      this.hint.classList.toggle("bad", left < 0);
      const hasText = input.value.trim() !== "";
      this.send.disabled = !hasText || left < 0;
      this.send.hidden = !hasText && !this.stop.hidden;
      if (!isInput) return;
      input.style.height = "auto";
      input.style.height = `${input.scrollHeight}px`;
      this.actions.keepDraft(input.value);
    }

    setText(text) {
      this.input.value = text;
      this.typed();
    }

    submit(event) {
      event.preventDefault();
      if (this.send.disabled) return;
      this.ask(this.input.value.trim());
      this.setText("");
    }

    ask(text) {
      this.sticks = true;
      this.actions.post(text);
      this.input.focus({ preventScroll: true });
    }

    pressStop() {
      this.actions.stop();
      this.input.focus({ preventScroll: true });
    }

    scrolled() {
      const { scrollHeight, scrollTop, clientHeight } = this.scroller;
      this.sticks = scrollHeight - scrollTop - clientHeight < 60;
      this.jump.hidden = this.sticks;
    }

    scrollToEnd(isSmooth = true) {
      this.sticks = true;
      const behavior = isSmooth && !this.calm.matches ? "smooth" : "instant";
      this.scroller.scrollTo({ top: this.scroller.scrollHeight, behavior });
    }
  }

  // --- the whole ------------------------------------------------------------------------------------

  /** The widget of one page: takes frames in, sends what the visitor does, and has the page's API. */
  class SupportChat {
    constructor({ dataset, src }) {
      this.base = new URL(src).origin + new URL(src).pathname.replace(/\/widget\.js$/, "");
      this.locale = chooseLocale(dataset.locale);
      this.texts = translator(this.locale);
      this.memory = new Memory(dataset.site);
      this.transcript = new Transcript();
      this.transcript.outbox = (this.memory.tab.outbox || []).map((entry) => ({ ...entry, state: "pending", sentAt: null }));
      this.connection = new Connection(this.base, dataset.site, this.memory, this);
      this.view = new View({ base: this.base, locale: this.locale, texts: this.texts, position: dataset.position, theme: dataset.theme || "auto" }, this);
      this.view.limit = 2000;
      this.listeners = new Map();
      this.limitedUntil = 0;
      this.spoken = { turn: null, attempt: 0, until: 0 };
      this.ratings = new Map();
      this.opensAtOnce = "open" in dataset && this.memory.tab.open === undefined;
    }

    // life

    async begin() {
      this.memory.watch(() => this.otherTabChanged());
      window.addEventListener("online", () => this.wake());
      window.addEventListener("offline", () => this.changed());
      document.addEventListener("visibilitychange", () => this.visibilityChanged());
      try {
        await this.loadConfig();
      } catch (error) {
        if (error.status === 403 || error.status === 404) return console.warn(`support chat: ${error.message}`);
      }
      document.body.append(this.view.host);
      if (this.memory.tab.draft) this.view.setText(this.memory.tab.draft);
      this.conversation = this.memory.shared.conversation;
      for (const entry of this.transcript.outbox) this.expectDelivery(entry);
      if (this.memory.shared.renewal || this.transcript.outbox.length) this.connection.start();
      if (this.memory.tab.open || this.opensAtOnce) this.show(false);
      this.changed();
      this.emit("ready");
      return null;
    }

    async loadConfig() {
      const config = await this.connection.config();
      this.hasConfig = true;
      this.view.setConfig(config);
      this.applyLimits(config.limits);
    }

    applyLimits(limits) {
      if (limits) this.view.limit = limits.message_characters;
    }

    // the page's API

    open() {
      if (!this.view.isOpen) this.show(true);
    }

    close() {
      if (!this.view.isOpen) return;
      this.view.close();
      this.memory.updateTab({ open: false });
      this.changed();
      this.emit("close");
    }

    toggle() {
      if (this.view.isOpen) this.close();
      else this.open();
    }

    /** Leave the conversation; the next message begins another one. */
    reset() {
      this.memory.forget();
      this.leave();
      this.view.setText("");
      this.emit("reset");
    }

    /** Call `listener` at each `event`; return a function that ends it. */
    on(event, listener) {
      if (!this.listeners.has(event)) this.listeners.set(event, new Set());
      this.listeners.get(event).add(listener);
      return () => this.listeners.get(event).delete(listener);
    }

    emit(event, detail = {}) {
      for (const listener of this.listeners.get(event) || []) listener(detail);
      window.dispatchEvent(new CustomEvent(`supportchat:${event}`, { detail }));
    }

    show(takesFocus) {
      this.view.open(takesFocus);
      this.memory.updateTab({ open: true });
      if (!this.hasConfig) this.loadConfig().then(() => this.changed(), () => {});
      this.changed();
      this.emit("open");
    }

    // what the visitor does

    post(content) {
      const entry = { client_id: newClientId(), content, at: Date.now(), state: "pending", sentAt: null };
      this.transcript.outbox.push(entry);
      this.expectDelivery(entry);
      this.connection.start(true);
      this.outboxChanged();
      this.emit("sent", { content });
    }

    /** Send a text again at once; on a new socket if this one owes an acknowledgement. */
    retry(entry) {
      this.expectDelivery(entry);
      if (this.connection.isReady && this.transcript.outbox[0].sentAt) this.connection.restart();
      this.connection.start(true);
      this.outboxChanged();
    }

    discard(entry) {
      this.transcript.outbox = this.transcript.outbox.filter((other) => other !== entry);
      this.outboxChanged();
    }

    /** Ask the question of a failed reply again, as a new message. */
    askAgain(reply) {
      const questions = this.transcript.ordered.filter((message) => message.role === "user" && message.seq < reply.seq);
      const question = questions.findLast((message) => message.turn === reply.turn) || questions.at(-1);
      if (question) this.view.ask(question.content);
    }

    stop() {
      const turn = this.transcript.current;
      if (!turn) return;
      turn.isStopping = this.connection.send({ type: "stop", turn: turn.id, attempt: turn.attempt });
      this.changed();
    }

    rate(message, rating) {
      message.rating = rating;
      this.ratings.set(message.id, rating);
      this.flush();
      this.changed();
    }

    requestPerson() {
      if (this.transcript.status === "waiting" || this.wantsPerson) return;
      this.wantsPerson = true;
      this.connection.start(true);
      this.flush();
      this.changed();
    }

    older() {
      if (this.transcript.lastSeq) this.connection.send({ type: "history", before_seq: this.transcript.firstSeq });
    }

    keepDraft(draft) {
      this.memory.updateTab({ draft });
    }

    // sending

    /** Send what waits, the texts one after another: the next when the first is acknowledged. */
    flush() {
      if (!this.connection.isReady || Date.now() < this.limitedUntil) return;
      const entry = this.transcript.outbox[0];
      if (entry && !entry.sentAt) this.transmit(entry);
      if (this.wantsPerson) this.connection.send({ type: "handoff" });
      for (const [message, rating] of this.ratings) this.connection.send({ type: "rate", message, rating });
    }

    transmit(entry) {
      if (!this.connection.send({ type: "send", client_id: entry.client_id, content: entry.content })) return;
      const sentAt = Date.now();
      entry.sentAt = sentAt;
      setTimeout(() => {
        if (this.transcript.outbox.includes(entry) && entry.sentAt === sentAt) this.connection.restart();
      }, ACK_WAIT_MS);
    }

    /** Show a text as pending, and as not sent when it takes too long; it is still sent when the connection is back. */
    expectDelivery(entry) {
      entry.state = "pending";
      clearTimeout(entry.timer);
      entry.timer = setTimeout(() => this.giveUp(entry), FAILED_AFTER_MS);
    }

    giveUp(entry) {
      if (!this.transcript.outbox.includes(entry) || entry.state === "limited") return;
      entry.state = "failed";
      this.view.announce(this.texts("delivery_failed"));
      this.outboxChanged();
    }

    outboxChanged() {
      this.memory.updateTab({ outbox: this.transcript.outbox.map(({ client_id, content, at }) => ({ client_id, content, at })) });
      this.flush();
      this.changed();
    }

    // what the server says

    position() {
      return this.transcript.position;
    }

    onFrame(frame) {
      if (frame.type === "error") return this.onError(frame);
      const unsent = this.transcript.outbox.length;
      const hasGap = this.transcript.apply(frame) === "gap";
      if (hasGap) this.fillGap(frame.type === "delta" ? 0 : 500);
      if (frame.type === "welcome") this.welcomed(frame);
      if (frame.type === "status") this.statusChanged(frame.status);
      if (frame.type === "rated") this.ratings.delete(frame.message);
      this.speak(frame);
      if (this.transcript.outbox.length !== unsent) this.outboxChanged();
      return this.changed();
    }

    welcomed(frame) {
      this.conversation = frame.conversation;
      this.applyLimits(frame.limits);
      this.statusChanged(frame.status);
      for (const entry of this.transcript.outbox) entry.sentAt = null;
    }

    statusChanged(status) {
      if (status === "waiting") this.wantsPerson = false;
      if (status !== this.lastStatus) this.emit("status", { status });
      this.lastStatus = status;
    }

    /** Something was lost on the way: ask for it, unless it comes by itself or was just asked for. */
    fillGap(pauseMs) {
      if (this.gapTimer) return;
      const soonest = (this.gapAskedAt || 0) + 1000 - Date.now();
      this.gapTimer = setTimeout(() => {
        const { transcript } = this;
        this.gapTimer = null;
        if (transcript.isReplaying || (pauseMs > 0 && !transcript.isMissing)) return;
        this.gapAskedAt = Date.now();
        this.connection.hello();
      }, Math.max(pauseMs, soonest));
    }

    onError(frame) {
      const entry = this.transcript.outbox.find((item) => item.client_id === frame.client_id);
      switch (frame.code) {
        case "token_expired": return this.renewThenRepeat();
        case "rate_limited": return this.slowDown(entry, frame.retry_after_ms || 10_000);
        case "too_long":
        case "empty": return entry && this.giveBack(entry, frame.code);
        case "id_reuse": return entry && this.renumber(entry);
        case "unavailable": return this.tryLater(entry, frame.retry_after_ms || 3_000);
        case "not_found": return this.ratings.clear();
        default: return console.warn(`support chat: ${frame.code}: ${frame.message}`);
      }
    }

    async renewThenRepeat() {
      await this.connection.renewToken();
      for (const entry of this.transcript.outbox) entry.sentAt = null;
      this.flush();
    }

    slowDown(entry, pauseMs) {
      this.limitedUntil = Date.now() + pauseMs;
      if (entry) Object.assign(entry, { state: "limited", sentAt: null });
      clearInterval(this.countdown);
      this.countdown = setInterval(() => this.countDown(), 1000);
      this.changed();
    }

    countDown() {
      this.changed();
      if (Date.now() < this.limitedUntil) return;
      clearInterval(this.countdown);
      for (const entry of this.transcript.outbox) this.expectDelivery(entry);
      this.outboxChanged();
    }

    /** A text that the server will not take goes back into the field. */
    giveBack(entry, code) {
      this.discard(entry);
      if (!this.view.input.value) this.view.setText(entry.content);
      this.say("error", "alert", this.texts(code));
    }

    renumber(entry) {
      Object.assign(entry, { client_id: newClientId(), sentAt: null });
      this.outboxChanged();
    }

    tryLater(entry, pauseMs) {
      if (entry) entry.sentAt = Date.now();
      setTimeout(() => {
        if (entry) entry.sentAt = null;
        this.flush();
      }, pauseMs);
    }

    // the connection

    onState() {
      const { state } = this.connection;
      if (state === "ready") this.flush();
      if (state === "waiting" && !this.lostAt) this.lostAt = Date.now();
      if (state === "waiting" || state === "connecting") setTimeout(() => this.changed(), 1600);
      if (state === "ready" || state === "idle") this.lostAt = null;
      clearInterval(this.crowdedTimer);
      if (this.isCrowded) this.crowdedTimer = setInterval(() => this.changed(), 1000);
      if (state === "refused") for (const entry of this.transcript.outbox) entry.state = "failed";
      this.changed();
    }

    onSession(conversation) {
      this.conversation = conversation;
    }

    /** The conversation is gone (its secret was revoked, or unused for too long); unsent texts go into the next. */
    onLost() {
      this.transcript.clear();
      this.view.sticks = true;
      this.say("info", "clock", this.texts("lost"));
    }

    otherTabChanged() {
      const { conversation, renewal } = this.memory.shared;
      if (this.conversation && conversation !== this.conversation) this.leave();
      this.conversation = conversation;
      if (renewal) this.connection.start();
      this.changed();
    }

    leave() {
      this.conversation = undefined;
      this.connection.reset();
      this.transcript.clear();
      this.transcript.outbox = [];
      this.ratings.clear();
      Object.assign(this, { wantsPerson: false, limitedUntil: 0, notice: null, lastStatus: undefined });
      this.view.sticks = true;
      this.outboxChanged();
    }

    wake() {
      if (this.memory.shared.renewal || this.transcript.outbox.length) this.connection.start(true);
      this.changed();
    }

    /** Come back at once when the page is seen again; a page hidden for long gives its socket back. */
    visibilityChanged() {
      clearTimeout(this.hiddenTimer);
      if (!document.hidden) return this.wake();
      this.hiddenTimer = setTimeout(() => {
        if (!this.transcript.current && !this.transcript.outbox.length) this.connection.close();
      }, HIDDEN_CLOSE_MS);
      return null;
    }

    // showing

    say(kind, iconName, text) {
      this.notice = { name: text, kind, icon: iconName, text };
      clearTimeout(this.noticeTimer);
      this.noticeTimer = setTimeout(() => {
        this.notice = null;
        this.changed();
      }, 8000);
      this.changed();
    }

    /** Read finished sentences out, never single tokens, and each once. */
    speak(frame) {
      if (this.transcript.isReplaying || frame.type === "welcome") return;
      if (frame.type === "turn") return this.speakTyping(this.transcript.turns.get(frame.turn));
      if (frame.type === "delta") return this.speakTurn(this.transcript.turns.get(frame.turn));
      const { message } = frame;
      if (!message || message.role === "user" || (frame.type !== "message" && frame.type !== "done")) return;
      this.emit("message", { role: message.role, content: message.content });
      const isContinued = this.spoken.turn === message.turn && message.turn;
      const rest = isContinued ? finishedSentences(message.content, this.spoken.until, true).sentences : message.content;
      const wording = message.notice && this.texts(`notice_${message.notice}`);
      const quoted = message.notice === "reply_excerpt" ? quotations(message.html, this.view.config.base).map((node) => node.textContent) : [];
      if (this.view.isOpen) this.view.announce([wording || rest, ...quoted].join(" "));
      this.spoken = { turn: message.turn, attempt: 0, until: message.content.length };
    }

    speakTyping(turn) {
      if (!turn || turn.isSaid || !this.view.isOpen) return;
      turn.isSaid = true;
      this.view.announce(this.texts("typing", { bot: this.view.config.bot_name }));
    }

    speakTurn(turn) {
      if (!turn) return;
      if (this.spoken.turn !== turn.id || this.spoken.attempt !== turn.attempt) this.spoken = { turn: turn.id, attempt: turn.attempt, until: 0 };
      const { sentences, until } = finishedSentences(turn.text, this.spoken.until, false);
      this.spoken.until = until;
      if (this.view.isOpen) this.view.announce(sentences);
    }

    get isCrowded() {
      return this.connection.state === "waiting" && this.connection.isCrowded;
    }

    /** Return the line under the header that matters most now, or null. */
    get banner() {
      const { texts, connection } = this;
      const leftMs = this.limitedUntil - Date.now();
      if (connection.state === "refused") return { name: "refused", kind: "error", icon: "alert", text: texts(connection.refusal) };
      if (!navigator.onLine) return { name: "offline", kind: "warning", icon: "alert", text: texts("offline") };
      const retry = { action: () => connection.start(true), actionText: texts("now") };
      if (this.isCrowded) return { name: "crowded", kind: "warning", icon: "clock", text: texts("crowded", { time: spellTime(connection.retryAt - Date.now(), this.locale) }), ...retry };
      if (this.lostAt && Date.now() - this.lostAt > 1500) return { name: "lost", kind: "warning", icon: "clock", text: texts("reconnecting"), ...retry };
      if (leftMs > 0) return { name: "limited", kind: "warning", icon: "clock", text: texts("rate_limited", { count: new Intl.NumberFormat(this.locale).format(Math.ceil(leftMs / 1000)) }) };
      if (this.notice) return this.notice;
      if (this.transcript.status === "waiting") return { name: "waiting", kind: "info", icon: "person", text: texts("waiting") };
      return null;
    }

    get unread() {
      const read = this.memory.shared.read || 0;
      return this.transcript.ordered.filter((message) => message.seq > read && message.role !== "user");
    }

    markRead() {
      const { lastSeq } = this.transcript;
      const { read = 0 } = this.memory.shared;
      if (this.view.isOpen && !document.hidden && lastSeq > read) this.memory.updateShared({ read: lastSeq });
    }

    changed() {
      this.view.schedule(() => this.draw());
    }

    draw() {
      const { transcript, wantsPerson, banner } = this;
      this.markRead();
      const unread = this.view.isOpen ? [] : this.unread;
      const latest = unread.length ? unread.at(-1).content : "";
      this.view.render({ transcript, banner, wantsPerson, isWaiting: transcript.status === "waiting", unread: unread.length, latest });
      if (this.lastUnread !== unread.length) this.emit("unread", { count: unread.length });
      this.lastUnread = unread.length;
    }
  }

  // --- texts ----------------------------------------------------------------------------------------

  const RIGHT_TO_LEFT = /^(ar|he|fa|ur)\b/;

  /** Every text of the widget; `{name}` is filled in. A new language needs all keys of `en`. */
  const CATALOGUE = {
    en: {
      open: "Open chat", unread: "unread: {count}", minimise: "Minimise chat", chat: "Support chat", dismiss: "Hide this message",
      assistant: "Assistant", staff: "Support team", you: "You", disclosure: "AI assistant",
      about: "{bot} is an AI and can be wrong. You can ask for a person at any time.",
      greeting: "Hello! How can I help?",
      transcript: "Messages", older: "Show earlier messages", newest: "Go to the newest message", typing: "{bot} is writing", slow: "Still looking…",
      placeholder: "Write a message", send: "Send", stop: "Stop this answer", stopped: "Stopped",
      left: "{count} characters left", too_long_by: "{count} characters too long",
      person: "Talk to a person", person_asking: "Asking for a person…", person_waiting: "Marked for our team",
      waiting: "Marked for our team. Nobody is here right now, and there is no promise when. The assistant goes on answering.",
      sources: "From:", helpful: "This helped", unhelpful: "This did not help", thanks: "Thank you",
      delivery_pending: "Sending…", delivery_limited: "Waiting to be sent", delivery_failed: "Not sent yet",
      retry: "Try again", discard: "Remove", ask_again: "Ask again",
      start_over: "New conversation", start_over_question: "Leave this conversation and begin a new one? You will not be able to come back to it.", cancel: "Keep this one",
      too_long: "This message is too long. Please shorten it.", empty: "This message is empty.",
      rate_limited: "That was quick. Your next message can go out in {count} s.",
      offline: "You are offline. What you write is sent when you are back.",
      crowded: "Too many tabs or requests from here. The next try is in {time}.",
      reconnecting: "The connection is lost. Trying to get it back…", now: "Try now",
      outdated: "The chat was updated. Please reload this page.", forbidden: "The chat is not available on this page.",
      lost: "The earlier conversation has ended. This is a new one.",
      notice_handoff_requested: "I have marked this conversation for our team. Nobody is here right now, and I cannot promise when somebody will be. I go on answering your questions.",
      notice_reply_excerpt: "I cannot answer this myself just now. Nobody wrote the following for your question; it is the part of our help articles that fits it best.",
      notice_reply_failed: "Sorry, I could not answer this just now.",
      notice_reply_stopped: "You stopped this answer.",
      notice_reply_unsure: "I could not find a reliable answer to that in our help articles. The button \"Talk to a person\" below marks your question for our team.",
    },
    de: {
      open: "Chat öffnen", unread: "ungelesen: {count}", minimise: "Chat minimieren", chat: "Support-Chat", dismiss: "Diese Nachricht ausblenden",
      assistant: "Assistent", staff: "Support-Team", you: "Sie", disclosure: "KI-Assistent",
      about: "{bot} ist eine KI und kann sich irren. Sie können jederzeit nach einem Menschen fragen.",
      greeting: "Hallo! Wie kann ich helfen?",
      transcript: "Nachrichten", older: "Frühere Nachrichten zeigen", newest: "Zur neuesten Nachricht", typing: "{bot} schreibt", slow: "Sucht noch …",
      placeholder: "Nachricht schreiben", send: "Senden", stop: "Diese Antwort anhalten", stopped: "Angehalten",
      left: "noch {count} Zeichen", too_long_by: "{count} Zeichen zu lang",
      person: "Mit einem Menschen sprechen", person_asking: "Wird angefragt …", person_waiting: "Für unser Team markiert",
      waiting: "Für unser Team markiert. Gerade ist niemand da, und ein Zeitpunkt lässt sich nicht versprechen. Der Assistent antwortet weiter.",
      sources: "Aus:", helpful: "Das hat geholfen", unhelpful: "Das hat nicht geholfen", thanks: "Danke",
      delivery_pending: "Wird gesendet …", delivery_limited: "Wartet auf das Senden", delivery_failed: "Noch nicht gesendet",
      retry: "Erneut versuchen", discard: "Entfernen", ask_again: "Noch einmal fragen",
      start_over: "Neue Unterhaltung", start_over_question: "Diese Unterhaltung verlassen und eine neue beginnen? Sie können nicht zu ihr zurückkehren.", cancel: "Diese behalten",
      too_long: "Diese Nachricht ist zu lang. Bitte kürzen Sie sie.", empty: "Diese Nachricht ist leer.",
      rate_limited: "Das war schnell. Ihre nächste Nachricht kann in {count} s gesendet werden.",
      offline: "Sie sind offline. Was Sie schreiben, wird gesendet, sobald Sie wieder online sind.",
      crowded: "Zu viele Tabs oder Anfragen von hier. Der nächste Versuch ist in {time}.",
      reconnecting: "Die Verbindung ist unterbrochen und wird wiederhergestellt …", now: "Jetzt versuchen",
      outdated: "Der Chat wurde aktualisiert. Bitte laden Sie die Seite neu.", forbidden: "Der Chat ist auf dieser Seite nicht verfügbar.",
      lost: "Die frühere Unterhaltung ist beendet. Dies ist eine neue.",
      notice_handoff_requested: "Ich habe diese Unterhaltung für unser Team markiert. Gerade ist niemand da, und ich kann keinen Zeitpunkt versprechen. Ihre Fragen beantworte ich weiter.",
      notice_reply_excerpt: "Ich kann das gerade nicht selbst beantworten. Das Folgende hat niemand für Ihre Frage geschrieben; es ist der Abschnitt unserer Hilfeartikel, der am besten zu ihr passt.",
      notice_reply_failed: "Das konnte ich gerade leider nicht beantworten.",
      notice_reply_stopped: "Sie haben diese Antwort angehalten.",
      notice_reply_unsure: "Dazu habe ich in unseren Hilfeartikeln keine verlässliche Antwort gefunden. Die Schaltfläche „Mit einem Menschen sprechen“ unten markiert Ihre Frage für unser Team.",
    },
    ar: {
      open: "فتح المحادثة", unread: "غير مقروءة: {count}", minimise: "تصغير المحادثة", chat: "محادثة الدعم", dismiss: "إخفاء هذه الرسالة",
      assistant: "المساعد", staff: "فريق الدعم", you: "أنت", disclosure: "مساعد بالذكاء الاصطناعي",
      about: "{bot} برنامج ذكاء اصطناعي وقد يخطئ. يمكنك طلب التحدث إلى شخص في أي وقت.",
      greeting: "مرحبًا! كيف يمكنني مساعدتك؟",
      transcript: "الرسائل", older: "عرض الرسائل الأقدم", newest: "الانتقال إلى أحدث رسالة", typing: "{bot} يكتب الآن", slow: "ما زال البحث جاريًا…",
      placeholder: "اكتب رسالة", send: "إرسال", stop: "إيقاف هذه الإجابة", stopped: "تم الإيقاف",
      left: "الأحرف المتبقية: {count}", too_long_by: "عدد الأحرف الزائدة: {count}",
      person: "التحدث إلى شخص", person_asking: "جارٍ الطلب…", person_waiting: "مُعلَّمة لفريقنا",
      waiting: "وُضعت علامة على المحادثة لفريقنا. لا أحد موجود الآن، ولا يمكن الوعد بموعد. يواصل المساعد الإجابة.",
      sources: "المصدر:", helpful: "كانت الإجابة مفيدة", unhelpful: "لم تكن الإجابة مفيدة", thanks: "شكرًا لك",
      delivery_pending: "جارٍ الإرسال…", delivery_limited: "في انتظار الإرسال", delivery_failed: "لم تُرسل بعد",
      retry: "إعادة المحاولة", discard: "إزالة", ask_again: "السؤال مرة أخرى",
      start_over: "محادثة جديدة", start_over_question: "هل تريد مغادرة هذه المحادثة وبدء محادثة جديدة؟ لن تتمكن من العودة إليها.", cancel: "البقاء هنا",
      too_long: "هذه الرسالة طويلة جدًا. يرجى اختصارها.", empty: "هذه الرسالة فارغة.",
      rate_limited: "أنت سريع! يمكن إرسال رسالتك التالية بعد {count} ث.",
      offline: "أنت غير متصل بالإنترنت. سيُرسل ما تكتبه عند عودة الاتصال.",
      crowded: "علامات تبويب أو طلبات كثيرة جدًا من هنا. المحاولة التالية بعد {time}.",
      reconnecting: "انقطع الاتصال. جارٍ استعادته…", now: "المحاولة الآن",
      outdated: "تم تحديث المحادثة. يرجى إعادة تحميل الصفحة.", forbidden: "المحادثة غير متاحة في هذه الصفحة.",
      lost: "انتهت المحادثة السابقة. هذه محادثة جديدة.",
      notice_handoff_requested: "لقد وضعت علامة على هذه المحادثة لفريقنا. لا أحد موجود الآن، ولا أستطيع أن أعدك بموعد. سأواصل الإجابة عن أسئلتك.",
      notice_reply_excerpt: "لا أستطيع الإجابة عن هذا بنفسي الآن. لم يكتب أحد ما يلي ردًا على سؤالك؛ إنه الجزء الأنسب له من مقالات المساعدة لدينا.",
      notice_reply_failed: "عذرًا، لم أتمكن من الإجابة عن هذا الآن.",
      notice_reply_stopped: "لقد أوقفت هذه الإجابة.",
      notice_reply_unsure: "لم أجد إجابة موثوقة عن ذلك في مقالات المساعدة. زر «التحدث إلى شخص» أدناه يضع علامة على سؤالك لفريقنا.",
    },
  };

  /** Return the first language that the catalogue has: the page's wish, else the browser's, else English. */
  function chooseLocale(wish) {
    const wishes = [wish, ...navigator.languages].filter(Boolean);
    return wishes.find((locale) => locale.split("-")[0].toLowerCase() in CATALOGUE) || "en";
  }

  /** Return a function from key and values to the text; an unknown key gives an empty string. */
  function translator(locale) {
    const texts = CATALOGUE[locale.split("-")[0].toLowerCase()];
    return (key, values = {}) => (texts[key] || "").replace(/\{(\w+)\}/g, (_, name) => values[name]);
  }

  // --- styles ---------------------------------------------------------------------------------------

  // the colours of tokens.css; --support-chat-* on the host element override them
  const STYLES = `
    :host {
      all: initial;
      color-scheme: light dark;
      --accent: var(--support-chat-accent, var(--site-accent, light-dark(#22563f, #2c7050)));
      --on-accent: var(--support-chat-on-accent, #fff);
      --accent-strong: color-mix(in oklab, var(--accent) 84%, black);
      --accent-soft: color-mix(in oklab, var(--accent) 11%, var(--surface));
      --link: light-dark(oklch(from var(--accent) min(l, 0.42) c h), oklch(from var(--accent) 0.82 calc(c * 1.15) h));
      --surface: var(--support-chat-surface, light-dark(#ffffff, #1b201c));
      --paper: var(--support-chat-background, light-dark(#f7f4ee, #121613));
      --ink: var(--support-chat-text, light-dark(#1c231e, #e9ece6));
      --ink-soft: light-dark(#59625b, #a6b0a7);
      --line: light-dark(#e2dbcf, #343c36);
      --line-strong: light-dark(#8a8f84, #78837a);
      --danger: light-dark(#b3261e, #ff9a8f);
      --focus: light-dark(#1c6fd1, #7db7ff);
      --bad: #b4481c;
      --radius: var(--support-chat-radius, 18px);
      --gap: var(--support-chat-gap, 16px);
      --padding: var(--support-chat-padding, 16px);
      --bubble-padding: var(--support-chat-bubble-padding, 14px);
      --size: var(--support-chat-font-size, 15px);
      --side: var(--support-chat-side, 20px);
      --bottom: var(--support-chat-bottom, 20px);
      --layer: var(--support-chat-z-index, 2147483000);
      --ease: cubic-bezier(0.2, 0.8, 0.2, 1);
      font: 400 var(--size)/1.5 var(--support-chat-font, system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "Noto Sans", Arial, sans-serif);
    }
    :host([data-theme="light"]) { color-scheme: light; }
    :host([data-theme="dark"]) { color-scheme: dark; }
    :host([hidden]) { display: none; }
    *, *::before, *::after { box-sizing: border-box; }
    [hidden] { display: none !important; }
    .root { color: var(--ink); text-align: start; }
    h2, p, ol, ul, li { margin: 0; padding: 0; list-style: none; }
    button, textarea { font: inherit; color: inherit; letter-spacing: inherit; }
    button { margin: 0; padding: 0; border: 0; background: none; cursor: pointer; -webkit-tap-highlight-color: transparent; }
    button:disabled { cursor: default; }
    a { color: var(--link); }
    :focus-visible { outline: 2px solid var(--focus); outline-offset: 2px; }
    .icon { width: 20px; height: 20px; flex: none; display: block; fill: none; stroke: currentColor; stroke-width: 1.8; stroke-linecap: round; stroke-linejoin: round; }
    .hidden { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }

    .avatar { display: grid; place-items: center; flex: none; width: 30px; height: 30px; border-radius: 50%; color: var(--on-accent); background: var(--accent) var(--support-chat-avatar, none) center / cover; }
    .avatar .icon { width: 21px; height: 21px; }
    .icon-leaf { fill: currentColor; stroke: none; }

    /* launcher */
    .launcher { position: fixed; z-index: var(--layer); inset-block-end: calc(var(--bottom) + env(safe-area-inset-bottom)); inset-inline-end: var(--side); display: grid; place-items: center; width: 60px; height: 60px; border: 1px solid transparent; border-radius: 50%; color: var(--on-accent); background: var(--accent); box-shadow: 0 2px 6px rgb(0 0 0 / 0.16), 0 10px 28px rgb(0 0 0 / 0.22); transition: transform 0.2s var(--ease), background-color 0.15s; }
    .launcher:hover { transform: scale(1.05); background: var(--accent-strong); }
    .launcher:active { transform: scale(0.96); }
    .launcher > .icon { grid-area: 1 / 1; width: 30px; height: 30px; transition: transform 0.25s var(--ease), opacity 0.15s; }
    .launcher .icon-chat path:last-child { stroke-width: 2.6; }
    .launcher .icon-down, .open .launcher .icon-chat { opacity: 0; transform: rotate(-60deg) scale(0.6); }
    .open .launcher .icon-down { opacity: 1; transform: none; }
    .badge { position: absolute; inset-block-start: -3px; inset-inline-end: -3px; min-width: 23px; height: 23px; padding: 0 6px; border: 2px solid var(--surface); border-radius: 12px; background: var(--bad); color: #fff; font-size: 12px; font-weight: 650; line-height: 19px; text-align: center; }
    .teaser { position: fixed; z-index: var(--layer); inset-block-end: calc(var(--bottom) + 76px + env(safe-area-inset-bottom)); inset-inline-end: var(--side); width: min(300px, calc(100vw - 2 * var(--side))); border: 1px solid var(--line); border-radius: var(--radius); background: var(--surface); box-shadow: 0 2px 6px rgb(0 0 0 / 0.1), 0 12px 32px rgb(0 0 0 / 0.16); animation: rise 0.3s var(--ease); }
    .teaser-open { display: flex; gap: 10px; align-items: flex-start; width: 100%; padding: var(--bubble-padding); padding-inline-end: 36px; border-radius: inherit; text-align: start; font-size: 0.94em; line-height: 1.45; }
    .teaser-text { display: -webkit-box; -webkit-box-orient: vertical; -webkit-line-clamp: 3; overflow: hidden; overflow-wrap: anywhere; }
    .teaser-close { position: absolute; inset-block-start: 6px; inset-inline-end: 6px; padding: 5px; border-radius: 50%; color: var(--ink-soft); }
    .teaser-close:hover { background: var(--accent-soft); color: var(--ink); }
    .teaser-close .icon { width: 16px; height: 16px; }

    /* panel */
    .panel { position: fixed; z-index: var(--layer); inset-block-end: calc(var(--bottom) + 76px); inset-inline-end: var(--side); display: flex; flex-direction: column; width: var(--support-chat-width, 396px); max-width: calc(100vw - 2 * var(--side)); height: min(var(--support-chat-height, 680px), calc(100vh - var(--bottom) - 96px)); overflow: hidden; border: 1px solid var(--line); border-radius: calc(var(--radius) + 2px); background: var(--paper); box-shadow: 0 4px 12px rgb(0 0 0 / 0.1), 0 24px 64px rgb(0 0 0 / 0.22); visibility: hidden; opacity: 0; transform: translateY(14px) scale(0.97); transform-origin: 100% 100%; transition: transform 0.22s var(--ease), opacity 0.16s, visibility 0s 0.22s; }
    [dir="rtl"] .panel { transform-origin: 0 100%; }
    .open .panel { visibility: visible; opacity: 1; transform: none; transition: transform 0.28s var(--ease), opacity 0.16s, visibility 0s; }
    :host([data-position="left"]) :is(.launcher, .panel, .teaser) { left: var(--side); right: auto; transform-origin: 0 100%; }
    :host([data-position="right"]) :is(.launcher, .panel, .teaser) { right: var(--side); left: auto; transform-origin: 100% 100%; }

    .header { display: flex; align-items: center; gap: 12px; flex: none; padding-block: var(--padding); padding-inline: calc(var(--padding) * 1.125) calc(var(--padding) * 0.75); color: var(--on-accent); background: radial-gradient(120% 180% at 0% 0%, color-mix(in oklab, var(--accent) 86%, white), transparent 60%), var(--accent); }
    .header .avatar { position: relative; width: 42px; height: 42px; background-color: color-mix(in oklab, var(--accent) 70%, white); border: 2px solid rgb(255 255 255 / 0.28); }
    .header .avatar .icon { width: 26px; height: 26px; }
    .titles { flex: 1; min-width: 0; }
    .title { font-size: 1.13em; font-weight: 650; line-height: 1.3; letter-spacing: -0.01em; outline: none; }
    .subtitle { font-size: 0.87em; line-height: 1.35; opacity: 0.92; }
    .header-button + .header-button { margin-inline-start: -8px; }
    .header-button { padding: 8px; border-radius: 50%; opacity: 0.92; transition: background-color 0.15s; }
    .header-button:hover { background: rgb(255 255 255 / 0.16); opacity: 1; }
    .header :focus-visible { outline-color: #fff; }

    .banner { display: flex; align-items: flex-start; gap: 9px; flex: none; padding: 10px calc(var(--padding) * 1.125); border-block-end: 1px solid var(--line); background: var(--surface); color: var(--ink); font-size: 0.87em; line-height: 1.45; }
    .banner .icon { width: 18px; height: 18px; margin-block-start: 1px; color: var(--link); }
    .banner[data-kind="warning"] { background: light-dark(#fbf0d5, #352a12); }
    .banner[data-kind="warning"] .icon { color: light-dark(#7a5200, #f0c36a); }
    .banner[data-kind="error"] { background: light-dark(#fbe9e7, #3b1f1c); }
    .banner[data-kind="error"] .icon { color: var(--danger); }
    .banner span { flex: 1; }
    .banner-action { flex: none; border-radius: 4px; font-weight: 600; text-decoration: underline; text-underline-offset: 2px; }

    /* transcript */
    .middle { position: relative; display: flex; flex: 1; min-height: 0; }
    .scroller { flex: 1; overflow: hidden auto; padding: calc(var(--padding) * 1.125) var(--padding) calc(var(--padding) * 0.625); overscroll-behavior: contain; scrollbar-width: thin; scrollbar-color: var(--line) transparent; }
    .scroller:focus-visible { outline-offset: -3px; }
    .log { display: flex; flex-direction: column; }
    .line { align-self: center; max-width: 34ch; margin-block: 2px calc(var(--gap) * 0.875); color: var(--ink-soft); font-size: 0.8em; line-height: 1.45; text-align: center; text-wrap: balance; }
    .day { margin-block: calc(var(--gap) * 1.125) calc(var(--gap) * 0.75); font-weight: 600; }
    .row { display: flex; align-items: flex-end; gap: 8px; max-width: 100%; margin-block-end: calc(var(--gap) / 4); animation: rise 0.25s var(--ease); }
    .row[data-last="true"] { margin-block-end: var(--gap); }
    .row .avatar { align-self: flex-start; margin-block-start: 6px; }
    .row:not([data-first="true"]) .avatar { visibility: hidden; height: 0; }
    .row[data-role="staff"] .avatar { margin-block-start: 24px; }
    .stack { display: flex; flex-direction: column; align-items: flex-start; min-width: 0; max-width: calc(100% - 54px); }
    .row[data-role="user"] { justify-content: flex-end; }
    .row[data-role="user"] .stack { align-items: flex-end; max-width: 82%; }
    .row[data-role="staff"] .avatar { background-color: var(--bad); }
    .name { padding-inline: 4px; color: var(--ink-soft); font-size: 0.8em; font-weight: 600; }
    .row:not([data-first="true"]) .name { display: none; }
    .bubble { max-width: 100%; padding: calc(var(--bubble-padding) - 4px) var(--bubble-padding); border: 1px solid var(--line); border-radius: var(--radius); background: var(--surface); overflow-wrap: anywhere; }
    .text { white-space: pre-wrap; }
    .text:has(> p, > ul, > ol, > pre, > blockquote, > h3, > h4, > table) { white-space: normal; }
    .row[data-role="user"] .bubble { border-color: transparent; background: var(--accent); color: var(--on-accent); }
    .row[data-role="user"]:not([data-first="true"]) .bubble { border-start-end-radius: 6px; }
    .row[data-role="user"]:not([data-last="true"]) .bubble { border-end-end-radius: 6px; }
    .row[data-role="user"][data-last="true"] .bubble { border-end-end-radius: 6px; }
    .row:not([data-role="user"]):not([data-last="true"]) .bubble { border-end-start-radius: 6px; }
    .row:not([data-role="user"]) .bubble { border-start-start-radius: 6px; }
    .row:is([data-state="pending"], [data-state="limited"]) .bubble { opacity: 0.72; }
    .row[data-state="failed"] .bubble { border: 1px solid var(--danger); background: light-dark(#fbe9e7, #3b1f1c); color: var(--ink); }
    .row[data-notice="reply_failed"] .bubble { border-color: color-mix(in oklab, var(--danger) 45%, var(--line)); }
    .row[data-notice="reply_excerpt"] .bubble { border-color: color-mix(in oklab, var(--danger) 45%, var(--line)); }
    .row[data-notice="reply_stopped"] .bubble { color: var(--ink-soft); font-style: italic; }
    .row[data-notice="handoff_requested"] .bubble { border-color: color-mix(in oklab, var(--accent) 40%, var(--line)); background: var(--accent-soft); }
    .text > * + * { margin-block-start: 0.55em; }
    .bubble :is(ul, ol) { padding-inline-start: 1.3em; }
    .bubble ul li { list-style: disc; }
    .bubble ol li { list-style: decimal; }
    .bubble li + li { margin-block-start: 0.2em; }
    .bubble :is(h1, h2, h3, h4, h5, h6) { font-size: 1em; font-weight: 650; }
    .bubble a { color: inherit; text-decoration: underline; text-underline-offset: 2px; }
    .row:not([data-role="user"]) .bubble a { color: var(--link); }
    .bubble code { padding: 1px 4px; border-radius: 4px; background: var(--accent-soft); font: 0.92em ui-monospace, "SF Mono", "Cascadia Mono", Menlo, Consolas, monospace; }
    .bubble pre { overflow-x: auto; padding: 10px; border-radius: 8px; background: var(--accent-soft); }
    .bubble pre code { padding: 0; background: none; }
    .bubble blockquote { margin: 0; padding-inline-start: 10px; border-inline-start: 3px solid var(--line); color: var(--ink-soft); }
    .bubble table { display: block; overflow-x: auto; border-collapse: collapse; font-size: 0.94em; }
    .bubble :is(th, td) { padding: 4px 8px; border: 1px solid var(--line); text-align: start; }

    .typing { display: inline-flex; gap: 4px; align-items: center; height: 1.5em; padding-inline: 2px; }
    .typing i { width: 7px; height: 7px; border-radius: 50%; background: var(--ink-soft); animation: bounce 1.2s infinite ease-in-out; }
    .slow { padding-inline-start: 0; color: var(--ink-soft); font-size: 0; animation: grow 0s linear 8s forwards; }
    .typing i:nth-child(2) { animation-delay: 0.15s; }
    .typing i:nth-child(3) { animation-delay: 0.3s; }

    .extra:empty, .meta:not(:has(:not(:empty))) { display: none; }
    .extra { max-width: 100%; }
    .sources { display: flex; flex-wrap: wrap; gap: 5px 6px; align-items: center; padding: 7px 2px 0; font-size: 0.84em; }
    .sources-label { color: var(--ink-soft); }
    .sources ul { display: contents; }
    .sources li { min-width: 0; max-width: 100%; }
    .sources a { display: flex; gap: 5px; align-items: center; padding: 3px 10px 3px 7px; border: 1px solid var(--line); border-radius: 99px; background: var(--surface); color: var(--link); font-weight: 500; text-decoration: none; transition: border-color 0.15s, background-color 0.15s; }
    [dir="rtl"] .sources a { padding: 3px 7px 3px 10px; }
    .sources a:hover { border-color: var(--link); background: var(--accent-soft); }
    .sources a span { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
    .sources .icon { width: 15px; height: 15px; }
    .meta { display: flex; gap: 6px; align-items: center; min-height: 22px; padding: 2px 4px 0; color: var(--ink-soft); font-size: 0.77em; line-height: 1.5; }
    .row:not([data-last="true"]):not(:has(.thumbs:not(:empty))):not([data-state="failed"]) .meta { display: none; }
    .state:not(:empty)::before { content: "· "; }
    time:empty + .state::before { content: ""; }
    .row[data-state="failed"] .state { color: var(--danger); font-weight: 600; }
    .thumbs { display: inline-flex; gap: 1px; align-items: center; margin-inline-start: 2px; }
    .thumb { padding: 4px; border-radius: 6px; color: var(--ink-soft); transition: background-color 0.15s, color 0.15s; }
    .thumb:hover { background: var(--accent-soft); color: var(--link); }
    .thumb .icon { width: 16px; height: 16px; }
    .thumb[aria-pressed="true"] { color: var(--link); }
    .thumb[aria-pressed="true"] .icon { fill: color-mix(in oklab, currentColor 28%, transparent); }
    .thanks { margin-inline-start: 4px; }

    .choice { max-width: 100%; padding: 7px 14px; border: 1px solid color-mix(in oklab, var(--link) 42%, var(--line)); border-radius: 99px; background: var(--surface); color: var(--link); font-size: 0.94em; font-weight: 500; line-height: 1.4; text-align: start; overflow-wrap: anywhere; transition: background-color 0.15s, border-color 0.15s; }
    .choice:hover { border-color: var(--link); background: var(--accent-soft); }
    .choice.primary { border-color: transparent; background: var(--accent); color: var(--on-accent); }
    .choice.primary:hover { background: var(--accent-strong); }
    .choices { display: flex; flex-wrap: wrap; gap: 8px; padding-block-start: 8px; }
    .suggestions { display: flex; flex-direction: column; gap: calc(var(--gap) / 2); align-items: flex-end; margin-block: 6px 10px; padding-inline-start: 38px; }
    .older { display: block; margin: 0 auto var(--gap); font-size: 0.87em; }
    .jump { position: absolute; inset-block-end: 12px; left: 50%; display: grid; place-items: center; width: 36px; height: 36px; margin-left: -18px; border: 1px solid var(--line); border-radius: 50%; background: var(--surface); color: var(--link); box-shadow: 0 2px 10px rgb(0 0 0 / 0.16); }

    /* composer */
    .composer { flex: none; padding: 6px calc(var(--padding) * 0.875) calc(10px + env(safe-area-inset-bottom)); background: var(--paper); }
    .field { display: flex; gap: 6px; align-items: flex-end; padding: 6px; border: 1px solid var(--line-strong); border-radius: calc(var(--radius) + 5px); background: var(--surface); transition: border-color 0.15s, box-shadow 0.15s; }
    .field:focus-within { border-color: var(--link); box-shadow: 0 0 0 1px var(--link); }
    .input { flex: 1; min-width: 0; max-height: 132px; margin: 0; padding: 6px 4px 6px 10px; border: 0; outline: none; background: none; line-height: 1.5; resize: none; overflow-y: auto; scrollbar-width: thin; }
    [dir="rtl"] .input { padding: 6px 10px 6px 4px; }
    .input::placeholder { color: var(--ink-soft); opacity: 1; }
    .round { display: grid; place-items: center; flex: none; width: 35px; height: 35px; border: 1px solid transparent; border-radius: 50%; transition: background-color 0.15s, color 0.15s, transform 0.15s; }
    .send { background: var(--accent); color: var(--on-accent); }
    .send:hover { background: var(--accent-strong); }
    .send:disabled { background: var(--accent-soft); color: var(--ink-soft); }
    .send .icon { stroke-width: 2.2; }
    .stop { background: var(--accent-soft); color: var(--link); border-color: color-mix(in oklab, var(--link) 30%, transparent); }
    .stop:disabled { opacity: 0.5; }
    .stop .icon { fill: currentColor; width: 18px; height: 18px; }
    .below { display: flex; gap: 10px; align-items: center; justify-content: space-between; min-height: 34px; padding: 5px 4px 0; font-size: 0.84em; }
    .person { display: inline-flex; gap: 6px; align-items: center; padding: 4px 8px 4px 6px; margin-inline-start: -4px; border-radius: 8px; color: var(--link); font-weight: 500; text-align: start; }
    .person:not([aria-disabled="true"]):hover { background: var(--accent-soft); }
    .person[aria-disabled="true"] { color: var(--ink-soft); cursor: default; }
    .person .icon { width: 17px; height: 17px; }
    .hint { color: var(--ink-soft); font-variant-numeric: tabular-nums; text-align: end; }
    .hint.bad { color: var(--danger); font-weight: 600; }

    .confirm { position: absolute; inset: 0; z-index: 1; display: grid; align-items: end; padding: calc(var(--padding) * 0.875); background: rgb(0 0 0 / 0.42); animation: fade 0.15s; }
    .confirm-card { padding: calc(var(--padding) * 1.125); border-radius: var(--radius); background: var(--surface); box-shadow: 0 8px 32px rgb(0 0 0 / 0.25); animation: rise 0.22s var(--ease); }
    .confirm-card .choices { padding-block-start: 14px; }

    @keyframes rise { from { opacity: 0; transform: translateY(8px); } }
    @keyframes fade { from { opacity: 0; } }
    @keyframes grow { to { padding-inline-start: 6px; font-size: 0.87em; } }
    @keyframes bounce { 0%, 60%, 100% { opacity: 0.45; transform: none; } 30% { opacity: 1; transform: translateY(-4px); } }

    @media ${PHONE} {
      :host { --size: var(--support-chat-font-size, 16px); --side: var(--support-chat-side, 16px); --bottom: var(--support-chat-bottom, 16px); }
      .panel, :host([data-position]) .panel { inset: var(--view-top, 0px) 0 auto 0; width: 100%; max-width: none; height: var(--view-height, 100dvh); border: 0; border-radius: 0; transform: translateY(24px); }
      .open .launcher { display: none; }
      .header { padding-block-start: calc(var(--padding) * 0.875 + env(safe-area-inset-top)); }
      .header-button { padding: 11px; }
      .thumb { padding: 8px; }
      .round { width: 38px; height: 38px; }
      .below { min-height: 40px; }
      .person { padding-block: 8px; }
    }
    @media (prefers-reduced-motion: reduce) {
      *:not(.slow), *::before, *::after { animation: none !important; transition: none !important; }
      .scroller { scroll-behavior: auto; }
    }
    @media (forced-colors: active) {
      .launcher, .badge, .round, .avatar, .header { border: 1px solid ButtonText; }
      .header { forced-color-adjust: auto; }
      .row[data-role="user"] .bubble { border-color: Highlight; }
      .thumb[aria-pressed="true"] { outline: 2px solid Highlight; }
      .typing i { background: CanvasText; }
    }
    @media print { .root { display: none; } }
  `;

  // --- start ----------------------------------------------------------------------------------------

  if (!script.dataset.site) {
    console.error("support chat: the script tag needs data-site");
    return;
  }
  const chat = new SupportChat(script);
  window.supportChat = Object.freeze({
    open: () => chat.open(),
    close: () => chat.close(),
    toggle: () => chat.toggle(),
    reset: () => chat.reset(),
    on: (event, listener) => chat.on(event, listener),
  });
  if (document.body) chat.begin();
  else document.addEventListener("DOMContentLoaded", () => chat.begin());
})();
