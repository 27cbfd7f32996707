// What MLflow knows of a run besides its metrics and parameters, and links to it and to other runs.

import { lazyDetails } from "../page/details.js";
import { copyButton, el, table } from "../page/dom.js";
import { byName, count, number } from "../page/format.js";

const OWN_TAG = /^mlflow\./;
const LONG_VALUE = 60; // characters; a longer one takes one line
const LONGER_VALUE = 250; // a longer one, or one of several lines, is folded
const SHOWN_OF_FOLDED = 80;
const COMMIT_SHOWN = 12;

// The run in MLflow, or null if the settings have no address for its server.
export function mlflowLink({ mlflow, about, history }) {
  if (!mlflow || !about?.experiment_id) return null;
  const [experiment, run] = [about.experiment_id, history.mlflow_run_id].map(encodeURIComponent);
  return el("a", { href: `${mlflow}/#/experiments/${experiment}/runs/${run}` }, "Open in MLflow");
}

export const runLink = ({ mlflow_run_id: id, name }) => el("a", { href: `/runs/${id}/`, dir: "auto" }, name || id);

// Tags that people gave, and those that MLflow uses itself, as [name, value] by name.
export const givenTags = (tags) => tagsThat(tags, (name) => !OWN_TAG.test(name));
const ownTags = (tags) => tagsThat(tags, (name) => OWN_TAG.test(name));
const tagsThat = (tags, holds) =>
  Object.entries(tags ?? {})
    .filter(([name]) => holds(name))
    .sort(([a], [b]) => byName(a, b));

// A table of tags, null without any. `cut` has how many characters a value lacks.
export function tagTable(caption, tags, cut = {}) {
  const rows = tags.map(([name, value]) => [isolated(name), [folded(value), lacking(cut[name], "character")]]);
  return rows.length ? table(caption, ["tag", "value"], rows, "pairs") : null;
}

// A long value, such as 26 edges, takes one line and unfolds on focus. A longer one, or one of several lines, unfolds
// when it is opened.
export function folded(value) {
  if (value.length > LONGER_VALUE || value.includes("\n")) {
    const start = value.trimStart().split("\n", 1)[0].slice(0, SHOWN_OF_FOLDED);
    const size = el("span", { class: "muted" }, ` ${count(value.length)} characters`);
    return el(
      "details",
      { class: "folded" },
      el("summary", {}, isolated(`${start}…`), size),
      el("pre", { dir: "auto" }, value),
    );
  }
  if (value.length <= LONG_VALUE) return isolated(value);
  return el("span", { class: "long", tabindex: "0", dir: "auto", title: "Select to read all of it" }, value);
}

// Text of any direction, which does not change that of its surroundings.
const isolated = (text) => el("bdi", {}, text);

// The parts of the section, without those that the run lacks.
export function aboutParts(page) {
  const { about, summary } = page;
  return [
    facts(page),
    ...description(about),
    ...children(summary),
    ...datasets(about),
    ...models(about),
    own(about),
    lacking(about.left_out.tags, "tag"),
  ].filter(Boolean);
}

function facts(page) {
  const {
    about: { source, user, parent },
    summary,
  } = page;
  const commit = source.commit && [
    el("code", { title: source.commit }, source.commit.slice(0, COMMIT_SHOWN)),
    copyButton(source.commit, "the commit"),
  ];
  // A parent that has not been announced, or that the reader may not see, has no link.
  const nestedIn = summary.parent ? runLink(summary.parent) : parent && el("code", {}, parent);
  const known = [
    ["in MLflow", mlflowLink(page)],
    ["user", user && isolated(user)],
    ["source", source.name && [isolated(source.name), source.type && ` (${source.type.toLowerCase()})`]],
    ["entry point", source.entry_point && isolated(source.entry_point)],
    ["git commit", commit],
    ["git branch", source.branch && isolated(source.branch)],
    ["repository", source.repository && isolated(source.repository)],
    ["nested in", nestedIn],
  ].filter(([, value]) => value);
  return (
    known.length > 0 &&
    el(
      "dl",
      { class: "statistics" },
      known.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))),
    )
  );
}

function description({ description: text, description_html: html, left_out: { description: more } }) {
  if (!text) return [];
  const box = el("div", { class: "description", tabindex: "0", role: "group", "aria-label": "Description" });
  if (html) {
    // The worker made this HTML of Markdown and cleaned it (workers/documents/description.py): it has a few plain
    // elements and links. No other text becomes markup.
    const template = document.createElement("template");
    template.innerHTML = html;
    box.append(template.content);
  } else box.append(el("pre", { dir: "auto" }, text));
  return [titled("Description", box), lacking(more, "character")];
}

function children({ mlflow_run_id: id, children: runs, children_total: total }) {
  if (!total) return [];
  const items = runs.map((run) =>
    el(
      "li",
      {},
      runLink(run),
      el("span", { class: `status status-${run.status.toLowerCase()}` }, run.status.toLowerCase()),
    ),
  );
  const address = `/?${new URLSearchParams({ q: `parent = ${id}` })}`;
  return [
    titled(`Nested runs (${count(total)})`, el("ul", { class: "children" }, items)),
    el("p", {}, el("a", { href: address }, total > runs.length ? `All ${count(total)} in the list` : "In the list")),
  ];
}

function datasets({ datasets: found, left_out: { datasets: more } }) {
  if (!found.length) return [];
  const rows = found.map(({ name, context, digest, source, source_type: type }) => [
    isolated(name),
    isolated(context),
    el("code", {}, digest),
    [type && `${type} `, folded(source)],
  ]);
  return [
    titled("Data sets", boxed("Data sets", ["name", "use", "digest", "source"], rows)),
    lacking(more, "data set"),
  ];
}

function models({ models: found, left_out: { models: more, model_metrics: metrics } }) {
  if (!found.length) return [];
  const rows = found.map(({ name, model_id: id, role, status, step, metrics: values }) => [
    [isolated(name || id), name && id && el("code", { class: "sub" }, id)],
    [role === "input" ? "used" : "logged", step !== null && ` at step ${step}`, status && `, ${status.toLowerCase()}`],
    values.map(({ key, dataset, value }) =>
      el("div", {}, isolated(key), dataset && [" on ", isolated(dataset)], ": ", el("b", {}, number(value))),
    ),
  ]);
  return [
    titled("Models", boxed("Models", ["model", "state", "metrics"], rows)),
    lacking(more, "model"),
    lacking(metrics, "metric of models", "metrics of models"),
  ];
}

function own({ tags, cut }) {
  const found = ownTags(tags);
  if (!found.length) return null;
  return lazyDetails(`MLflow's own tags (${found.length})`, () => tagTable("MLflow's own tags", found, cut)).details;
}

const titled = (title, content) => el("div", { class: "about-part" }, el("h3", {}, title), content);

function boxed(label, head, rows) {
  const box = el("div", { class: "table-box", tabindex: "0", role: "group", "aria-label": `${label}, table` });
  box.append(table(label, head, rows, "listed"));
  return box;
}

// What the document lacks of something, null if nothing.
function lacking(number, noun, nouns = `${noun}s`) {
  return number > 0 && el("p", { class: "muted" }, `${count(number)} more ${number === 1 ? noun : nouns} in MLflow.`);
}
