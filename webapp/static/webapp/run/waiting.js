// A run's page while there is nothing to draw.

import { copyButton, el } from "../page/dom.js";

const STATES = {
  pending: "Waiting for a worker",
  warming: "Warming now",
  failed: "Warming failed",
  rebuilding: "Rebuilding",
  expired: "Charts expired",
  unknown: "Not announced",
};

// `answer` is the API's for a run that is not warm. Returns {badges, facts, body}.
export function waiting(answer) {
  const { state, expect, reason, attempts, waiting_for: outage, mlflow_run_id: id } = answer;
  const title = outage ? `Waiting for ${outage.tracking_server}` : STATES[state];
  const notice = el(
    "section",
    { class: "notice waiting", "data-state": state },
    el("h2", {}, title),
    el("p", { role: "status" }, expect),
    reason && el("pre", { class: "reason", tabindex: "0" }, reason),
    attempts ? el("p", { class: "muted" }, `Attempts so far: ${attempts}.`) : null,
    el("p", { class: "muted" }, el("i", { class: "pulse", "aria-hidden": "true" }), "The charts will appear here."),
  );
  return {
    badges: [el("span", { class: `state state-${state}` }, title)],
    facts: id ? [el("span", {}, "run ", el("code", {}, id), copyButton(id))] : [],
    body: [notice],
  };
}
