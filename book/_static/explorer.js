// The page book/explorer.md. The data come with explorer_data.js, which sets window.SKILL_EXPLORER: a script, because a
// page opened from a folder (file://) may load scripts but may not fetch. All text goes through textContent.
"use strict";
(() => {
  const METHODS = {
    literal: ["Literal matching", "1 if a name of the skill stands in the sentence"],
    lexical: ["Lexical (TF-IDF)", "cosine of letter groups"],
    classifier: ["Classifier for each skill", "logit"],
    "zero-shot": ["Zero-shot encoder", "cosine of sentence and label"],
    "bi-encoder": ["Trained bi-encoder", "cosines of sentence and names"],
  };
  const { about, sentences } = window.SKILL_EXPLORER;
  const state = { sentence: sentences[0], method: "zero-shot", place: 0 };
  const root = document.getElementById("explorer");

  // An element with attributes and children (elements or strings).
  const make = (tag, attributes = {}, ...children) => {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...children);
    return element;
  };
  const shorten = (text) => (text.length < 80 ? text : text.slice(0, 77).replace(/\s+\S*$/, "") + " …");
  const bare = (word) => word.replace(/^[(“"]+|[),.:;!?”"]+$/g, "") || word;
  const number = (value) => value.toFixed(2).replace("-", "\u2212");

  const picker = make("select", { id: "explorer-sentence" });
  for (const group of new Set(sentences.map((sentence) => sentence.group))) {
    const options = sentences.filter((sentence) => sentence.group === group)
      .map((sentence) => make("option", { value: sentence.id }, shorten(sentence.text)));
    picker.append(make("optgroup", { label: group }, ...options));
  }
  const radios = Object.entries(METHODS).map(([id, [name]]) => {
    const input = make("input", { type: "radio", name: "explorer-method", id: `explorer-${id}`, value: id });
    return make("div", {}, input, make("label", { for: input.id }, name));
  });
  const [quote, gold, table, words] = ["blockquote", "p", "div", "div"].map((tag) => make(tag));
  const answer = make("p", { role: "status", id: "explorer-answer" });
  const wordsTitle = make("p", { class: "explorer-title" });
  const coloured = make("p", { class: "explorer-coloured" });
  const said = make("p", { "aria-live": "polite", id: "explorer-said" });
  words.append(wordsTitle, coloured, said);
  root.replaceChildren(
    make("p", {}, make("label", { for: picker.id }, "Sentence"), picker),
    make("fieldset", {}, make("legend", {}, "Method"), ...radios),
    quote, gold, answer, table, words,
  );

  const result = () => state.sentence.methods[state.method];

  function showAnswer() {
    quote.textContent = state.sentence.text;
    gold.textContent = state.sentence.gold.length
      ? `Gold (what the annotators found in it): ${state.sentence.gold.join("; ")}.`
      : "Gold: no skill. The sentence asks for none.";
    const found = result();
    answer.textContent = "No ranking: the run file of this model holds the sentences of the benchmarks only.";
    if (!found) return;
    const kept = found.top.filter((row) => row.kept).map((row) => row.skill);
    const asking = `A detector gives ${Math.round(100 * found.asking)} % that the sentence asks for a skill.`;
    const missed = found.missed.map(({ skill, rank }) => `${skill} (${rank ? `rank ${rank}` : "not ranked"})`);
    answer.textContent = [
      found.asking === undefined ? "Which of these would be kept as an answer was not computed for this model."
        : `${asking} Kept as an answer: ${kept.length ? kept.join("; ") : "nothing"}.`,
      missed.length ? `Gold but not below: ${missed.join("; ")}.` : "",
    ].join(" ").trim();
  }

  function showTable() {
    const [found, [name, unit]] = [result(), METHODS[state.method]];
    table.replaceChildren();
    if (found && !found.top.length) table.append(`${name}: nothing in the sentence names a skill of the list.`);
    if (!found || !found.top.length) return;
    const caption = `${name}: top ${found.top.length} of ${about.skills} skills. Score: ${unit}. `
      + "Choose a skill to see the words behind it.";
    const heads = ["Rank", "Skill", "Score", "Gold", "Kept"].map((text) => make("th", { scope: "col" }, text));
    const rows = found.top.map((row, place) => {
      const button = make("button", { type: "button" }, row.skill);
      button.addEventListener("click", () => { state.place = place; showWords(); remember(); });
      return make("tr", row.gold ? { class: "explorer-gold" } : {},
        make("td", {}, String(place + 1)), make("th", { scope: "row" }, button), make("td", {}, number(row.score)),
        make("td", {}, row.gold ? "✓ yes" : "no"),
        make("td", {}, row.kept === undefined ? "unknown" : row.kept ? "✓ yes" : "no"));
    });
    table.append(make("table", { class: "explorer-table" }, make("caption", {}, caption),
      make("thead", {}, make("tr", {}, ...heads)), make("tbody", {}, ...rows)));
  }

  function showWords() {
    const row = result() && result().top[state.place];
    words.hidden = !row;
    said.textContent = "";
    if (!row) return;
    table.querySelectorAll("button").forEach((button, place) =>
      button.setAttribute("aria-pressed", String(place === state.place)));
    wordsTitle.textContent = `The words behind “${row.skill}”`;
    coloured.hidden = !row.weights;
    if (!row.weights) {
      said.textContent = "Not known: the repository holds this model's rankings, not its weights.";
      return;
    }
    const pairs = state.sentence.text.split(/\s+/).map((word, place) => [word, row.weights[place]]);
    const most = Math.max(...pairs.map(([, weight]) => Math.abs(weight)), 0.01);
    coloured.replaceChildren(...pairs.flatMap(([word, weight]) => {
      const span = make("span", weight ? { class: weight > 0 ? "explorer-for" : "explorer-against" } : {}, word);
      span.style.setProperty("--share", (Math.abs(weight) / most).toFixed(2));
      return [span, " "];
    }));
    const list = (sign) => pairs.filter(([, weight]) => sign * weight > 0)
      .sort((a, b) => sign * (b[1] - a[1])).slice(0, 6).map(([word, weight]) => `${bare(word)} (${number(weight)})`);
    said.textContent = `Words that speak for ${row.skill}: ${list(1).join(", ") || "none"}. `
      + `Words against it: ${list(-1).join(", ") || "none"}.`;
  }

  // The view is in the address, so that it can be linked; no new entry in the history for every key press.
  const remember = () => history.replaceState(null, "",
    `#sentence=${state.sentence.id}&method=${state.method}&rank=${state.place + 1}`);

  function show() {
    picker.value = state.sentence.id;
    document.getElementById(`explorer-${state.method}`).checked = true;
    showAnswer();
    showTable();
    showWords();
  }

  function restore() {
    const wanted = new URLSearchParams(location.hash.slice(1));
    state.sentence = sentences.find((sentence) => sentence.id === wanted.get("sentence")) || state.sentence;
    if (Object.hasOwn(METHODS, wanted.get("method") || "")) state.method = wanted.get("method");
    const place = Number(wanted.get("rank")) - 1;
    state.place = result() && result().top[place] ? place : 0;
    show();
  }

  picker.addEventListener("change", () => {
    Object.assign(state, { sentence: sentences.find((sentence) => sentence.id === picker.value), place: 0 });
    show();
    remember();
  });
  root.addEventListener("change", (event) => {
    if (event.target.name !== "explorer-method") return;
    Object.assign(state, { method: event.target.value, place: 0 });
    show();
    remember();
  });
  window.addEventListener("hashchange", restore);
  restore();
})();
