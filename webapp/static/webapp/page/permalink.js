// What a page shows, kept in its address, so that whoever opens the link sees the same.

const SETTLED = 200; // browsers take few changes of an address a second; a slider makes many

// `defaults` is {name: text}: what is as by default stands in no address. Parameters of other names stay as they are.
export class Permalink {
  #timer = null;

  constructor(defaults) {
    this.defaults = defaults;
    this.parameters = new URLSearchParams(location.search);
  }

  get(name) {
    return this.parameters.get(name) ?? this.defaults[name];
  }

  // `changes` is {name: text}; an empty text is one too.
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
