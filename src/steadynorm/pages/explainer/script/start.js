// When all elements are there: follow the address, and in a notebook fit the frame.

addEventListener("hashchange", () => Address.figures.forEach((figure) => Address.read(figure)));
const linked = Address.figures.find((figure) => location.hash.includes(`${figure.id}:`));
linked?.scrollIntoView({ block: "center" });

// In a notebook each figure is a frame of its own, as high as what it holds.
if (location.protocol === "about:" && window.frameElement) {
  new ResizeObserver(([entry]) => {
    window.frameElement.style.height = `${Math.ceil(entry.contentRect.height) + 2}px`;
  }).observe(document.body);
}
