// Drawing: one place for colours, sizes and what a screen reader hears. The palette is Okabe and Ito's, safe for
// colour-blind eyes; series differ by dash, symbol or pattern too.

export const COLOURS = {
  blue: '#0072B2', orange: '#E69F00', green: '#009E73', purple: '#CC79A7', sky: '#56B4E9', red: '#D55E00', grey: '#8a949e',
};

const drawn = new Map();

export function dark() {
  return document.documentElement.dataset.theme === 'dark';
}

// The frame's own choice follows Airflow's: its root element says light or dark; alone, the system does.
export function followTheme(redraw) {
  const system = matchMedia('(prefers-color-scheme: dark)');
  const apply = () => {
    const outer = outerTheme();
    document.documentElement.dataset.theme = outer ?? (system.matches ? 'dark' : 'light');
    redraw();
  };
  system.addEventListener('change', apply);
  const root = outerRoot();
  if (root) new MutationObserver(apply).observe(root, { attributes: true, attributeFilter: ['class', 'data-theme'] });
  apply();
}

function outerRoot() {
  try {
    return parent === window ? null : parent.document.documentElement;
  } catch {
    return null;
  }
}

function outerTheme() {
  const root = outerRoot();
  if (!root) return null;
  if (root.classList.contains('dark') || root.dataset.theme === 'dark') return 'dark';
  return root.classList.contains('light') || root.dataset.theme === 'light' ? 'light' : null;
}

export function draw(holder, summary, make) {
  holder.setAttribute('role', 'img');
  holder.setAttribute('aria-label', summary);
  drawn.set(holder, make);
  paint(holder);
}

export function redrawAll() {
  for (const holder of drawn.keys()) {
    if (holder.isConnected) paint(holder);
    else forget(holder);
  }
}

export function resizeAll() {
  for (const holder of drawn.keys()) echarts.getInstanceByDom(holder)?.resize();
}

export function forget(holder) {
  echarts.getInstanceByDom(holder)?.dispose();
  drawn.delete(holder);
}

export function forgetWithin(element) {
  for (const holder of [...drawn.keys()]) if (element.contains(holder) || !holder.isConnected) forget(holder);
}

function paint(holder) {
  const chart = echarts.getInstanceByDom(holder) ?? echarts.init(holder, null, { renderer: 'canvas' });
  chart.setOption({ ...base(), ...withAxes(drawn.get(holder)()) }, true);
}

function tones() {
  return dark()
    ? { ink: '#e8edf2', quiet: '#aab6c2', line: '#37424e', panel: '#1a212a' }
    : { ink: '#1a2129', quiet: '#4c5866', line: '#d3d8de', panel: '#ffffff' };
}

export function ink() {
  return tones().ink;
}

function base() {
  const tone = tones();
  return {
    animation: false,
    color: [COLOURS.blue, COLOURS.orange, COLOURS.green, COLOURS.purple, COLOURS.sky, COLOURS.red],
    textStyle: { color: tone.ink, fontFamily: 'system-ui, sans-serif' },
    aria: { enabled: true, label: { enabled: false } },
    grid: { left: 8, right: 16, top: 34, bottom: 4, containLabel: true },
    legend: { type: 'scroll', top: 0, left: 0, right: 0, pageTextStyle: { color: tone.quiet }, textStyle: { color: tone.ink }, icon: 'roundRect' },
    // Text drawn on the canvas: markup with styles of its own would be refused by the page's content policy.
    tooltip: {
      trigger: 'axis', renderMode: 'richText', confine: true, backgroundColor: tone.panel, borderColor: tone.line,
      textStyle: { color: tone.ink },
    },
  };
}

function withAxes(option) {
  const tone = tones();
  const axis = (one) => ({
    ...one,
    axisLine: { lineStyle: { color: tone.quiet } },
    axisLabel: { color: tone.quiet, hideOverlap: true, ...one.axisLabel },
    nameTextStyle: { color: tone.quiet },
    splitLine: { show: one.type === 'value', lineStyle: { color: tone.line } },
  });
  return { ...option, xAxis: axis(option.xAxis), yAxis: [option.yAxis].flat().map(axis) };
}

export function line(name, data, colour, more = {}) {
  return {
    name, type: 'line', data, symbolSize: 8, showSymbol: data.length < 60, itemStyle: { color: colour },
    lineStyle: { color: colour, width: 2, ...more.lineStyle }, connectNulls: false, ...without(more, 'lineStyle'),
  };
}

function without(object, name) {
  const { [name]: _, ...rest } = object;
  return rest;
}

export function bar(name, data, colour, more = {}) {
  return { name, type: 'bar', data, itemStyle: { color: colour }, barMaxWidth: 28, ...more };
}
