// Updates rows: replaces only the cells that the server has changed, so that focus, selection and scroll position stay.

const written = new WeakMap(); // row → its cells as the server wrote them

// Call this before anything else changes the rows.
export function remember(rows) {
  for (const row of rows)
    written.set(
      row,
      [...row.cells].map((cell) => cell.outerHTML),
    );
}

// Gives `table` the bodies of `fresh`, another table. Returns whether anything has changed.
export function patch(table, fresh) {
  const bodies = [...fresh.tBodies];
  for (const body of bodies) remember(body.rows);
  if (bodies.length !== table.tBodies.length) {
    for (const body of [...table.tBodies]) body.remove();
    table.append(...bodies);
    return true;
  }
  return bodies.map((body, i) => patchBody(table.tBodies[i], body)).includes(true);
}

function patchBody(body, fresh) {
  const known = new Map([...body.rows].map((row) => [row.dataset.key, row]));
  let changed = false;
  let place = body.rows[0] ?? null;
  for (const row of [...fresh.rows]) {
    let kept = known.get(row.dataset.key);
    known.delete(row.dataset.key);
    if (kept && kept.cells.length !== row.cells.length) {
      kept.remove();
      kept = undefined;
    }
    if (kept) changed = patchCells(kept, row) || changed;
    else changed = true;
    const shown = kept ?? row;
    if (shown === place) place = place.nextElementSibling;
    else {
      body.insertBefore(shown, place?.isConnected ? place : null);
      changed = true;
    }
  }
  for (const row of known.values()) {
    row.remove();
    changed = true;
  }
  return changed;
}

function patchCells(row, fresh) {
  const [before, now] = [written.get(row), written.get(fresh)];
  const cells = [...fresh.cells];
  const changes = cells.map((cell, i) => {
    if (before[i] === now[i]) return false;
    const focused = row.cells[i].contains(document.activeElement) ? document.activeElement : null;
    row.cells[i].replaceWith(cell);
    const kind = focused?.matches(".fold") ? ".fold" : "a, input";
    if (focused) cell.querySelector(kind)?.focus({ preventScroll: true });
    return true;
  });
  written.set(row, now);
  return changes.includes(true);
}
