// What gets the focus by keyboard is seen as a whole: browsers are content with an edge of it, in boxes that scroll sideways.
addEventListener("focusin", ({ target }) => {
  if (target.matches(":focus-visible")) target.scrollIntoView({ block: "nearest", inline: "nearest" });
});
