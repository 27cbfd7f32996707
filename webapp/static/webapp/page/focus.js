// Scrolls what gets the keyboard focus wholly into view. In boxes that scroll sideways browsers show only its edge.
addEventListener("focusin", ({ target }) => {
  if (target.matches(":focus-visible")) target.scrollIntoView({ block: "nearest", inline: "nearest" });
});
