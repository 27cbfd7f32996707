// Keeps what a page shows in its address, so that the link opens the same view.

const SETTLED = 200; // ms; browsers limit changes of the address per second, and a slider makes many

// `defaults` is {name: text}; the address leaves out what is at its default. Parameters with other names stay
// unchanged.
export class Permalink {
  #timer = null;

  constructor(defaults) {
    this.defaults = defaults;
    this.parameters = new URLSearchParams(location.search);
  }

  get(name) {
    return this.parameters.get(name) ?? this.defaults[name];
  }

  // `changes` is {name: text}.
  set(changes) {
    for (const [name, value] of Object.entries(changes)) {
      if (value === this.defaults[name]) this.parameters.delete(name);
      else this.parameters.set(name, value);
    }
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => history.replaceState(history.state, "", this.address), SETTLED);
  }

  get address() {
    const query = String(this.parameters);
    return `${location.pathname}${query && `?${query}`}${location.hash}`;
  }
}

// The text that an address holds encoded; `otherwise` for one that a broken link cut.
export function decoded(text, otherwise = "") {
  try {
    return decodeURIComponent(text);
  } catch {
    return otherwise;
  }
}
