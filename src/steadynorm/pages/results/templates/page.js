// Draw each chart live (tooltips, legend), then hide its static drawing. If that fails, the static drawing stays.
for (const figure of document.querySelectorAll("figure.chart")) {
  const specification = JSON.parse(figure.querySelector("script").textContent);
  const phone = matchMedia("(max-width: 44rem)").matches;
  specification.config.legend.columns = phone ? 1 : 3;
  specification.config.axis.tickCount = phone ? 4 : 8;
  vegaEmbed(figure.querySelector(".live"), specification, { renderer: "svg", actions: false }).then(
    () => figure.classList.add("is-live"),
    (error) => console.warn("the static chart stays:", error),
  );
}
