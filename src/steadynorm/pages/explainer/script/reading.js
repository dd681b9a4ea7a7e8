// The text around the figures: letters that light up wherever they stand, contents that follow.

/** One letter at a time: the one under the pointer or the focus, else the one that was pressed. */
const Letters = {
  meanings: JSON.parse(document.getElementById("letters").textContent),
  hint: make("div", { class: "hint", "aria-hidden": "true" }, document.body),
  pressed: null,
  lit: null,

  light(key, at) {
    if (key !== this.lit) {
      for (const element of document.querySelectorAll("[data-letter].lit")) element.classList.remove("lit");
      if (key) for (const element of document.querySelectorAll(`[data-letter="${key}"]`)) element.classList.add("lit");
      this.lit = key;
    }
    this.explain(key, at);
  },

  /** What a letter means, above the one that is touched. */
  explain(key, at) {
    const told = key && at?.matches("var, mrow") && !at.closest(".legend");
    show(this.hint, told);
    if (!told) return;
    write(this.hint, this.meanings[key]);
    const { left, width, top } = at.getBoundingClientRect();
    const room = this.hint.offsetWidth;
    this.hint.style.left = `${clamp(left + width / 2 - room / 2, 8, innerWidth - room - 8)}px`;
    this.hint.style.top = `${Math.max(8, top - this.hint.offsetHeight - 6)}px`;
  },

  press(key) {
    this.pressed = this.pressed === key ? null : key;
    for (const button of document.querySelectorAll("button[data-letter]")) {
      button.setAttribute("aria-pressed", button.dataset.letter === this.pressed);
    }
    this.light(this.pressed);
  },
};

const letterOf = (event) => event.target.closest?.("[data-letter]");
const keyOf = (element) => element?.getAttribute("data-letter") ?? Letters.pressed;
document.addEventListener("pointerover", (event) => Letters.light(keyOf(letterOf(event)), letterOf(event)));
document.addEventListener("focusin", (event) => Letters.light(keyOf(letterOf(event)), letterOf(event)));
document.addEventListener("click", (event) => {
  const touched = letterOf(event);
  if (touched?.matches("var, mrow, button")) Letters.press(touched.getAttribute("data-letter"));
  else if (Letters.pressed && !event.target.closest("button, input, label, a, svg")) Letters.press(Letters.pressed);
});
addEventListener("scroll", () => show(Letters.hint, false), { passive: true });

const contents = document.querySelector(".contents details");
const here = contents.querySelector(".here");
const narrow = matchMedia("(max-width: 74rem)");
const fold = () => (contents.open = !narrow.matches);
narrow.addEventListener("change", fold);
fold();
contents.addEventListener("click", (event) => {
  if (narrow.matches && event.target.closest("a")) contents.open = false;
});

const links = new Map([...contents.querySelectorAll("a")].map((link) => [link.hash.slice(1), link]));
const seen = new IntersectionObserver(
  (entries) => {
    for (const { target, isIntersecting } of entries) {
      const link = links.get(target.id);
      if (!isIntersecting) continue;
      for (const other of links.values()) other.removeAttribute("aria-current");
      link.setAttribute("aria-current", "true");
      write(here, link.textContent);
    }
  },
  { rootMargin: "-25% 0px -74% 0px" },
);
for (const id of links.keys()) seen.observe(document.getElementById(id));
