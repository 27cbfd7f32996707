// Where a run's data came from: its events, how long each step took, and what was fetched.

import { el, table } from "../page/dom.js";
import { count, duration, seconds, time } from "../page/format.js";

export function provenance({ history, summary }) {
  const { timings, attempts, reason, events = [], tracking_server: server } = summary;
  const found = timings.announced === false;
  const stages = [
    ["event", timings.event_time],
    [found ? "found" : "published", timings.published_at],
    ["received", timings.received_at],
    ["warm", timings.warmed_at],
  ];
  const strip = stages.map(([name, at], i) => {
    const passed = i ? seconds(stages[i - 1][1], at) : null;
    return el(
      "li",
      {},
      el("span", { class: "gap tabular" }, passed === null ? "" : `+ ${duration(Math.max(passed, 0))}`),
      el("b", {}, name),
      el("time", { class: "muted tabular", datetime: at ?? "" }, time(at)),
    );
  });
  const repeated = history.repeated_steps ?? 0;
  const facts = [
    [found ? "found to warm" : "publish to warm", duration(timings.publish_to_warm_seconds)],
    ["attempts", String(attempts ?? 0)],
    ["tracking server", server ?? "–"],
    ["data as of", time(history.cached_at)],
    ...(repeated ? [["steps logged again", `${count(repeated)} points; the last value of a step counts`]] : []),
  ];
  const rows = events.map((event) => [
    event.type || "unreadable",
    event.state,
    time(event.published_at),
    String(event.attempts),
    event.reason,
  ]);
  return [
    el("ol", { class: "strip" }, strip),
    el(
      "dl",
      { class: "statistics" },
      facts.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", { class: "tabular" }, value))),
    ),
    reason ? el("pre", { class: "reason" }, reason) : "",
    el(
      "details",
      {},
      el("summary", {}, `Events (${events.length})`),
      el(
        "div",
        { class: "table-box", tabindex: "0", role: "region", "aria-label": "Events" },
        table("Events", ["type", "state", "published", "attempts", "reason"], rows),
      ),
    ),
  ];
}
