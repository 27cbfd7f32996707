// Only the charts of a run's page: six line charts, two ridgelines, two bar charts.

const [WIDTH, HEIGHT, RIDGES] = [640, 200, 420];
const COLORS = ["#c2410c", "#2563eb", "#0f766e"];
const main = document.querySelector("main");

function lines(epochs, named) {
  const series = Object.keys(named).map((label, i) => ({ label, stroke: COLORS[i % COLORS.length], width: 1.75 }));
  new uPlot(
    { width: WIDTH, height: HEIGHT, scales: { x: { time: false } }, series: [{}, ...series] },
    [epochs, ...Object.values(named)],
    main,
  );
}

function canvas(height) {
  const element = main.appendChild(document.createElement("canvas"));
  [element.width, element.height] = [WIDTH * devicePixelRatio, height * devicePixelRatio];
  const context = element.getContext("2d");
  context.scale(devicePixelRatio, devicePixelRatio);
  return context;
}

function ridges({ counts }) {
  const context = canvas(RIDGES);
  const top = Math.max(...counts.flat());
  const room = RIDGES * 0.8;
  counts.forEach((row, i) => {
    const base = RIDGES - room + (room * i) / counts.length;
    context.beginPath();
    context.moveTo(0, base);
    for (const [bin, count] of row.entries())
      context.lineTo(((bin + 0.5) * WIDTH) / row.length, base - (count / top) * (RIDGES - room));
    context.lineTo(WIDTH, base);
    context.fillStyle = "#fff";
    context.fill();
    context.strokeStyle = `hsl(${220 - (200 * i) / counts.length} 70% 45%)`;
    context.stroke();
  });
}

function bars({ counts }) {
  const context = canvas(HEIGHT);
  const row = counts.at(-1);
  const top = Math.max(...row);
  context.fillStyle = COLORS[1];
  const wide = WIDTH / row.length;
  for (const [bin, count] of row.entries())
    context.fillRect(bin * wide, HEIGHT * (1 - count / top), wide - 1, (HEIGHT * count) / top);
}

fetch("data.json")
  .then((response) => response.json())
  .then(({ history, histograms }) => {
    const { epochs, loss, weight_norm, gradient_norm } = history;
    lines(epochs, { train: loss.train, validation: loss.val });
    lines(epochs, { train: loss.total, validation: loss.val_total });
    lines(epochs, { train: loss.regularization, validation: loss.val_regularization });
    lines(epochs, gradient_norm);
    lines(epochs, weight_norm);
    lines(epochs, history.metrics);
    for (const histogram of histograms) {
      ridges(histogram);
      bars(histogram);
    }
    document.body.dataset.drawn = "true";
  });
