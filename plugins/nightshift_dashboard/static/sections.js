// The sections of the page, in the order in which the engineer on duty asks: what was decided, what it cost, what bound,
// and whether to trust it. Each returns its element at once and fills it; slow ones ask for their figures when filled.

import { bar, COLOURS, dark, draw, ink, line } from './charts.js';

const whole = new Intl.NumberFormat('en-GB', { maximumFractionDigits: 0 });
const real = (value, digits) => new Intl.NumberFormat('en-GB', { minimumFractionDigits: digits, maximumFractionDigits: digits }).format(value);
const none = '–';
export const count = (value) => (value == null ? none : whole.format(value));
export const usd = (value) => (value == null ? none : `$${real(value, Math.abs(value) < 10 ? 4 : 2)}`);
export const share = (value, digits = 1) => (value == null ? none : `${real(100 * value, digits)} %`);
export const quality = (value) => (value == null ? none : real(value, 4));
const gained = (value) => real(value, 3).replace('-', '−');
const figure = (value) => (value == null ? none : String(Number(Number(value).toPrecision(4))));
const tiny = (value) => (value == null ? none : value < 1e-6 ? '< 0.0001 %' : `${Number((100 * value).toPrecision(2))} %`);
const weekday = (day) => new Date(`${day}T00:00:00Z`).toLocaleDateString('en-GB', { weekday: 'long', timeZone: 'UTC' });
const words = (name) => String(name ?? none).replaceAll('_', ' ');

export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) if (value != null && value !== false) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function section(id, title, wide, fill) {
  const body = element('div');
  const holder = element('section', { id, class: wide ? 'wide' : null, 'aria-labelledby': `${id}-title` }, element('h2', { id: `${id}-title` }, title), body);
  return { holder, fill: () => fill(body) };
}

// columns: [heading, value of a row, whether it is a number]
export function table(caption, columns, rows, own = () => false) {
  const head = element('tr', {}, ...columns.map(([name, , number]) => element('th', { scope: 'col', class: number ? 'n' : null }, name)));
  const lines = rows.map((row) => element('tr', { class: own(row) ? 'own' : null }, ...columns.map(([, value, number], place) =>
    element(place ? 'td' : 'th', { scope: place ? null : 'row', class: number ? 'n' : null }, value(row)))));
  const made = element('table', {}, element('caption', {}, caption), element('thead', {}, head), element('tbody', {}, ...lines));
  return element('div', { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': caption }, made);
}

function folded(title, content) {
  return element('details', {}, element('summary', {}, title), content);
}

function chart(body, summary, option, size = '') {
  const holder = element('div', { class: `chart ${size}` });
  body.append(holder);
  draw(holder, summary, option);
}

function quiet(text) {
  return element('p', { class: 'quiet' }, text);
}

export function sectionsOf(dt, span, report, ask) {
  const night = report ? [
    decided(report), receipt(report), frontier(dt, report, ask), utilisation(report, ask), prices(report), fleet(report),
    waiting(report, span),
  ] : [];
  const [first, ...rest] = night;
  const range = span.nights.length ? [spend(span, report), decisions(span), qualities(span, report)] : [];
  return [...(first ? [first] : []), ...range, ...rest, search(dt, report, ask)];
}

function decided(report) {
  const night = report.night;
  return section('night', `Night of ${weekday(night.dt)}, ${night.dt}`, true, (body) => {
    const spent = night.planned_spend_usd == null ? null : night.planned_spend_usd + (night.gpu_usd ?? 0);
    const card = (id, name, value, small) => element('div', {}, element('dt', {}, name), element('dd', { id: `figure-${id}`, 'data-value': value.raw }, value.text, element('small', {}, small)));
    const shown = (raw, text) => ({ raw: raw ?? '', text });
    body.append(element('dl', { class: 'cards' },
      card('assigned', 'Routed', shown(night.assigned, count(night.assigned)), `of ${count(night.backlog_rows)} rows${night.carried_rows ? ` and ${count(night.carried_rows)} carried` : ''}`),
      card('deferred', 'Deferred', shown(night.deferred, count(night.deferred)), 'left to the next night'),
      card('rejected', 'Rejected', shown(night.rejected, count(night.rejected)), 'cannot be routed'),
      card('spend', 'Planned spend', shown(night.planned_spend_usd, usd(night.planned_spend_usd)), `${share(night.budget_usd ? spent / night.budget_usd : null)} of ${usd(night.budget_usd)}${night.gpu_usd ? `, ${usd(night.gpu_usd)} of GPUs with it` : ''}`),
      card('quality', 'Expected quality', shown(night.expected_quality, quality(night.expected_quality)), 'mean over the routed'),
      card('gap', 'Proven gap', shown(night.gap, tiny(night.gap)), 'at most, from the optimum'),
    ));
    body.append(attention(report), trust(report));
  });
}

// What asks for somebody, or that nothing does: the line that is read first in the morning.
function attention(report) {
  const night = report.night;
  const say = report.alerts.map(sentence);
  if (report.held) say.unshift(`Held back from going out: ${report.held}`);
  if (night.degraded) say.push(`Went on without: ${words(night.degraded)}.`);
  if (night.unfamiliar_share > 0.1) say.push(`${share(night.unfamiliar_share)} of the queries are unlike what the predictor learnt from: trust its figures less.`);
  if (night.solver_status !== 'proven' && night.gap != null) say.push(`The gap asked for was not proven: the solver ended as ${words(night.solver_status)}.`);
  if (!say.length) return element('p', { id: 'attention', class: 'calm' }, 'Nothing asks for attention.');
  return element('ul', { id: 'attention', class: 'plain' }, ...say.map((text) => element('li', {}, text)));
}

const sentence = (text) => `${text[0].toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? '' : '.'}`;

function trust(report) {
  const night = report.night;
  const say = [];
  if (night.sealed) say.push(['', 'Sealed: the plan has been handed out.']);
  if (report.overspend) say.push(['', `Overspend risk: ${report.overspend}.`]);
  const settled = report.settled;
  if (settled) say.push([settled.overspent ? 'bad' : 'good', `Settled: ${count(settled.settled)} of ${count(settled.assigned)} answers, ${usd(settled.actual_spend_usd)} spent, ${settled.overspent ? 'over' : 'within'} the budget as projected (${usd(settled.projected_spend_usd)}).`]);
  else say.push(['quiet', 'Not settled yet: what was spent and how good the answers were is not known.']);
  if (report.verdict) say.push(['', `Predictor of the day: ${report.verdict}`]);
  say.push(['quiet', `Run ${night.run_id}, attempt ${night.attempt}, ${night.batching} batches, planned on ${night.robust_level == null ? 'mean estimates' : `lower estimates (${night.robust_method} at ${night.robust_level})`}, solver ${words(night.solver_status)}.`]);
  return element('ul', { class: 'plain' }, ...say.map(([kind, text]) => element('li', { class: kind || null }, text)));
}

const DOTS = { symbol: 'circle', dashArrayX: [[8, 8], [0, 8, 8, 0]], dashArrayY: [6, 0], symbolSize: 0.8, color: 'rgba(0, 0, 0, 0.35)' };
const STRIPES = { symbol: 'rect', dashArrayX: [1, 0], dashArrayY: [2, 5], rotation: -Math.PI / 4, color: 'rgba(0, 0, 0, 0.35)' };
const days = (span) => span.nights.map((row) => row.dt);
const dates = (span) => ({ type: 'category', data: days(span) });

function spend(span, report) {
  return section('spend', 'Spend against budget, USD', false, (body) => {
    const rows = span.nights;
    const sums = span.totals;
    body.append(element('p', { id: 'totals', 'data-spend': sums.planned_spend_usd, 'data-assigned': sums.assigned }, `${rows.length} ${rows.length === 1 ? 'night' : 'nights'}: ${usd(sums.planned_spend_usd)} planned of ${usd(sums.budget_usd)}${sums.actual_spend_usd == null ? '' : `; ${usd(sums.actual_spend_usd)} spent where settled`}; ${rows.filter((row) => row.overspent).length} ran over.`));
    chart(body, `Line chart of budget, planned and actual spend by night, ${span.first} to ${span.last}; figures in the table below.`, () => ({
      xAxis: dates(span), yAxis: { type: 'value' },
      series: [
        line('budget', rows.map((row) => row.budget_usd), COLOURS.grey, { lineStyle: { type: 'dashed' }, symbol: rows.length > 1 ? 'none' : 'rect' }),
        line('planned', rows.map((row) => row.planned_spend_usd), COLOURS.blue),
        line('actual, projected', rows.map((row) => row.projected_spend_usd), COLOURS.red, { symbol: 'diamond', lineStyle: { type: 'dotted' } }),
      ],
    }));
    body.append(folded('By night', table('Spend by night, USD', [
      ['night', (row) => row.dt], ['budget', (row) => usd(row.budget_usd), true], ['planned', (row) => usd(row.planned_spend_usd), true],
      ['actual', (row) => usd(row.actual_spend_usd), true], ['projected', (row) => usd(row.projected_spend_usd), true],
      ['over', (row) => (row.overspent == null ? none : row.overspent ? 'yes' : 'no')],
    ], [...rows].reverse(), (row) => row.dt === span.last)));
    if (report?.teams.length) body.append(table(`Teams with a budget of their own, ${report.night.dt}`, [
      ['team', (row) => row.team], ['queries', (row) => count(row.assigned), true], ['planned', (row) => usd(row.planned_spend_usd), true],
      ['budget', (row) => usd(row.budget_usd), true],
    ], report.teams));
  });
}

function decisions(span) {
  return section('decisions', 'Routed, deferred, rejected', false, (body) => {
    const rows = span.nights;
    const sums = span.totals;
    body.append(element('p', {}, `${count(sums.assigned)} routed, ${count(sums.deferred)} deferred and ${count(sums.rejected)} rejected in the range.`));
    const stack = (name, colour) => bar(name, rows.map((row) => row[{ routed: 'assigned' }[name] ?? name]), colour, { stack: 'all' });
    chart(body, 'Stacked bars of routed, deferred and rejected queries by night; figures in the table below.', () => ({
      // The routed are the ground, and plain; what is left of them is told apart by pattern too.
      aria: { enabled: true, label: { enabled: false }, decal: { show: rows.length < 60, decals: [{ symbol: 'none' }, DOTS, STRIPES] } },
      xAxis: dates(span), yAxis: { type: 'value', minInterval: 1 },
      series: [stack('routed', COLOURS.blue), stack('deferred', COLOURS.orange), stack('rejected', COLOURS.red)],
    }));
    body.append(folded('By night', table('Queries by night', [
      ['night', (row) => row.dt], ['routed', (row) => count(row.assigned), true], ['deferred', (row) => count(row.deferred), true],
      ['rejected', (row) => count(row.rejected), true], ['went on without', (row) => row.degraded || none],
    ], [...rows].reverse(), (row) => row.dt === span.last)));
  });
}

const byModel = (report) => table(`By model, night of ${report.night.dt}: optimism is predicted less realised`, [
  ['model', (row) => row.model], ['settled', (row) => count(row.settled), true], ['predicted', (row) => quality(row.predicted_quality), true],
  ['realised', (row) => quality(row.realised_quality), true], ['optimism', (row) => quality(row.optimism), true],
], report.quality);

function qualities(span, report) {
  return section('quality', 'Quality: predicted and realised, and who predicts', true, (body) => {
    const rows = span.nights;
    const promoted = span.champions.filter((row) => row.decision === 'promoted').map((row) => row.dt);
    const left = element('div');
    const settled = report?.quality.length ? [byModel(report)] : [];
    body.append(element('div', { class: settled.length ? 'pair' : null }, left, ...settled));
    chart(left, 'Line chart of expected, predicted and realised quality by night; lines mark days on which a new champion was promoted.', () => ({
      xAxis: dates(span), yAxis: { type: 'value', scale: true },
      series: [
        line('expected of the plan', rows.map((row) => row.expected_quality), COLOURS.blue, {
          markLine: { symbol: 'none', label: { show: false }, lineStyle: { color: COLOURS.purple, type: 'dotted' }, data: promoted.filter((day) => days(span).includes(day)).map((day) => ({ xAxis: day })) },
        }),
        line('predicted of the settled', rows.map((row) => row.predicted_quality), COLOURS.sky, { lineStyle: { type: 'dashed' }, symbol: 'rect' }),
        line('realised', rows.map((row) => row.realised_quality), COLOURS.red, { symbol: 'diamond' }),
      ],
    }));
    if (!settled.length) body.append(quiet('Realised quality comes with the settlement of a night (settle_outcomes).'));
    const verdicts = report?.champions ?? span.champions;
    if (verdicts.length) body.append(folded(`Champion's history, ${verdicts.length} verdicts (dotted lines: promotions)`, table('Verdicts on challengers, newest first', [
      ['day', (row) => String(row.dt)], ['decision', (row) => row.decision], ['champion', (row) => quality(row.champion_quality), true],
      ['challenger', (row) => quality(row.challenger_quality), true], ['reason', (row) => row.reason],
    ], [...verdicts].reverse(), (row) => row.decision === 'promoted')));
  });
}

const verdict = (row) => element('span', { class: { gain: 'good', loss: 'bad' }[row.verdict] ?? null }, row.policy === 'nightshift' ? none : row.verdict ?? none);

function receipt(report) {
  return section('receipt', 'Receipt: the same night decided another way', false, (body) => {
    const rows = [...report.comparisons].sort((a, b) => (b.policy === 'nightshift') - (a.policy === 'nightshift'));
    const rivals = rows.filter((row) => row.policy !== 'nightshift' && row.gain != null);
    if (!rivals.length) return body.append(quiet('The run has left no comparison.'));
    body.append(table('Quality per routable query, under the same caps and spend', [
      ['policy', (row) => words(row.policy)], ['verdict', verdict],
      ['our gain, 95 %', (row) => (row.gain == null || row.policy === 'nightshift' ? none : `${gained(row.gain)} (${gained(row.gain_lower)} to ${gained(row.gain_upper)})`), true],
      ['quality', (row) => quality(row.expected_quality), true], ['served', (row) => count(row.served), true], ['spend', (row) => usd(row.planned_spend_usd), true],
    ], rows, (row) => row.policy === 'nightshift'));
    body.append(folded('In words', element('ul', {}, ...rivals.map((row) => element('li', {}, row.words)))));
  });
}

const metered = (row) => element('span', {}, ...(row.utilisation == null ? [] : [element('meter', { min: 0, max: 1, value: row.utilisation, 'aria-hidden': 'true' })]), share(row.utilisation));

function utilisation(report, ask) {
  return section('utilisation', 'How full the models are', true, (body) => {
    const rows = report.utilisation;
    if (!rows.length) return body.append(quiet('No model was asked.'));
    const models = table(`Models on the night of ${report.night.dt}`, [
      ['model', (row) => row.model], ['instances', (row) => (row.instances == null ? 'API' : count(row.instances)), true],
      ['queries', (row) => count(row.assigned), true], ['capacity', (row) => (row.capacity == null ? 'no limit' : count(row.capacity)), true],
      ['used', metered, true], ['spend', (row) => usd(row.planned_spend_usd), true],
    ], rows);
    const more = element('div', { 'aria-live': 'polite' }, quiet('Reading the batches …'));
    body.append(element('div', { class: 'pair' }, models, element('div', {}, element('h3', {}, 'Through the batches'), more)));
    ask(`api/nights/${report.night.dt}/batches`).then((found) => { more.replaceChildren(); through(more, found); }, (error) => refused(more, error));
  });
}

function through(body, found) {
  const models = found.models.filter((model) => model.capacity);
  const open = found.models.filter((model) => !model.capacity).map((model) => model.model);
  if (open.length) body.append(quiet(`Without a limit, and so not shown here: ${open.join(', ')}.`));
  if (!models.length) return body.append(quiet('No model with a limit runs in any batch.'));
  const steps = models[0].assigned.map((_, k) => 1 + k * found.size);
  const cells = [];
  models.forEach((model, y) => model.assigned.forEach((queries, x) => {
    cells.push([x, y, queries / model.capacity]);
  }));
  const together = found.size > 1 ? `, ${found.size} batches to a step` : '';
  chart(body, `Heat map of how full each of ${models.length} models is through ${found.batches} batches; the table below has least, mean and most.`, () => ({
    tooltip: { renderMode: 'richText', trigger: 'item', confine: true, formatter: (at) => `${models[at.value[1]].model}\nbatch ${steps[at.value[0]]}: ${count(models[at.value[1]].assigned[at.value[0]])} queries, ${share(at.value[2])}` },
    legend: { show: false },
    grid: { left: 8, right: 16, top: 8, bottom: 40, containLabel: true },
    visualMap: { min: 0, max: 1, orient: 'horizontal', left: 'center', bottom: 0, itemWidth: 12, itemHeight: 140, text: ['full', 'idle'], textStyle: { color: '#8a949e' }, inRange: { color: dark() ? ['#26303b', '#0072B2', '#56B4E9', '#F0E442'] : ['#e9edf1', '#56B4E9', '#0072B2', '#002f4d'] } },
    xAxis: { type: 'category', data: steps, name: 'batch' }, yAxis: { type: 'category', data: models.map((model) => model.model) },
    series: [{ type: 'heatmap', data: cells, progressive: 0 }],
  }), models.length > 8 ? 'tall' : '');
  const used = (model) => model.assigned.map((queries) => queries / model.capacity);
  const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const shown = (pick) => (model) => share(pick(used(model)));
  body.append(folded('By model', table(`Share of a step's capacity that is used${together}`, [
    ['model', (model) => model.model], ['least', shown((all) => Math.min(...all)), true], ['mean', shown(mean), true],
    ['most', shown((all) => Math.max(...all)), true],
    ['queries of a step', (model) => `${count(Math.min(...model.assigned))} to ${count(Math.max(...model.assigned))}`, true],
  ], models)));
}

function prices(report) {
  return section('prices', 'What bound, and what one more would add', false, (body) => {
    const binding = report.prices.filter((row) => row.binding);
    const slack = report.prices.filter((row) => !row.binding);
    if (!binding.length) body.append(element('p', {}, 'Nothing limited this night: no budget and no capacity would have added quality.'));
    else body.append(element('ul', {}, ...binding.map((row) => element('li', {}, row.words))));
    if (report.prices.length) body.append(folded(`All shadow prices (${slack.length} do not bind)`, table('Quality that one more unit would add', [
      ['constraint', (row) => words(row.constraint_name)], ['of', (row) => row.subject], ['price', (row) => figure(row.price), true], ['per', (row) => row.unit],
    ], report.prices, (row) => Boolean(row.binding))));
  });
}

function frontier(dt, report, ask) {
  return section('frontier', 'Cost and quality: what other budgets would have given', false, (body) => {
    const ready = element('div', { 'aria-live': 'polite' });
    const button = element('button', { type: 'button', id: 'plan-again' }, 'Plan the night again at other budgets');
    const start = () => {
      button.disabled = true;
      ready.replaceChildren(quiet('Planning the night at nine budgets …'));
      ask(`api/nights/${dt}/frontier`).then((found) => { ready.replaceChildren(); button.remove(); points(ready, found); }, (error) => { button.disabled = false; refused(ready, error); });
    };
    button.addEventListener('click', start);
    body.append(button, ready);
    if (report.night.assigned + report.night.deferred <= 20000) start();
    else body.append(quiet('A night of this size takes a while.'));
  });
}

function points(body, found) {
  const own = (point) => point.budget_usd === found.own_budget_usd;
  const shown = found.points.map((point) => [point.planned_spend_usd, point.expected_quality]);
  chart(body, 'Line chart of expected quality per routable query over planned spend, with the point of the night marked; figures in the table below.', () => ({
    xAxis: { type: 'value', name: 'USD', scale: true, nameLocation: 'middle', nameGap: 24 }, yAxis: { type: 'value', scale: true },
    grid: { left: 8, right: 24, top: 34, bottom: 22, containLabel: true },
    tooltip: { trigger: 'item', renderMode: 'richText', confine: true, formatter: (at) => `${at.seriesName}\n${usd(at.value[0])}: ${quality(at.value[1])}` },
    series: [
      line('at other budgets', shown, COLOURS.blue, { symbolSize: 8 }),
      { name: 'this night', type: 'scatter', symbol: 'diamond', symbolSize: 18, itemStyle: { color: COLOURS.red }, data: found.points.filter(own).map((point) => [point.planned_spend_usd, point.expected_quality]) },
    ],
  }));
  const next = Object.entries(found.next.instance).filter(([, value]) => value > 0);
  const more = found.own_budget_usd / 100;
  body.append(element('p', {}, `As it was, one per cent more budget ($${figure(more)}) would add about ${figure(found.next.dollar * more)} of quality in all${next.length ? `; one more instance of ${next.map(([name, value]) => `${name} ${figure(value)}`).join(', of ')}` : ''}.`));
  body.append(folded('By budget', table('The night at other budgets', [
    ['budget', (point) => usd(point.budget_usd), true], ['served', (point) => count(point.served), true], ['spend', (point) => usd(point.planned_spend_usd), true],
    ['quality', (point) => quality(point.expected_quality), true], ['next USD adds', (point) => figure(point.next_dollar), true],
  ], found.points, own)));
}

function fleet(report) {
  return section('fleet', 'Instances, against the day before', false, (body) => {
    const rows = report.fleet_rows;
    if (!rows.length) return body.append(quiet('No allocation serves this day.'));
    body.append(element('p', {}, report.fleet ?? ''));
    const change = (row) => (row.previous_instances == null ? 'new' : row.instances === row.previous_instances ? '=' : `${row.instances > row.previous_instances ? '+' : '−'}${Math.abs(row.instances - row.previous_instances)}`);
    body.append(table(`Allocation for ${report.night.dt}`, [
      ['model', (row) => row.model], ['the day before', (row) => count(row.previous_instances), true], ['now', (row) => count(row.instances), true],
      ['change', change, true], ['GPUs', (row) => `${count(row.gpus)} ${row.gpu_type}`, true], ['expected use', (row) => share(row.utilisation), true],
    ], rows, (row) => row.previous_instances != null && row.instances !== row.previous_instances));
  });
}

function waiting(report, span) {
  return section('waiting', 'Who waits, and what could not be routed', false, (body) => {
    const causes = new Map();
    for (const row of report.deferrals) causes.set(row.cause, (causes.get(row.cause) ?? 0) + row.queries);
    if (!causes.size) body.append(element('p', {}, 'Nobody waits.'));
    else {
      const names = [...causes.keys()].reverse();
      chart(body, 'Bars of deferred queries by the constraint that caused it; figures in the table below.', () => ({
        legend: { show: false }, xAxis: { type: 'value', name: '', minInterval: 1 }, yAxis: { type: 'category', data: names.map(words) },
        grid: { left: 8, right: 40, top: 8, bottom: 4, containLabel: true },
        series: [bar('deferred', names.map((name) => causes.get(name)), COLOURS.orange, { label: { show: true, position: 'right', color: ink() } })],
      }), 'low');
      body.append(folded('By cause and task', table('Deferred queries', [
        ['cause', (row) => words(row.cause)], ['task', (row) => row.task], ['queries', (row) => count(row.queries), true],
        ['nights waited, most', (row) => count(row.most_nights_waited), true],
      ], report.deferrals)));
    }
    if (span.causes?.length) body.append(table(`Deferred from ${span.first} to ${span.last}`, [['cause', (row) => words(row.cause)], ['queries', (row) => count(row.queries), true]], span.causes));
    if (report.rejections.length) body.append(folded('Rejected rows', table('Rejected rows by file and reason', [
      ['reason', (row) => words(row.reason)], ['file', (row) => row.partition], ['rows', (row) => count(row.queries), true],
    ], report.rejections)));
  });
}

function search(dt, report, ask) {
  return section('search', 'One query: why this model?', !report, (body) => {
    const input = element('input', { id: 'query-id', name: 'query', type: 'search', required: '', autocomplete: 'off', spellcheck: 'false' });
    const here = element('input', { id: 'this-night', type: 'checkbox', checked: '' });
    const form = element('form', { role: 'search' }, element('label', {}, 'query_id ', input), element('label', {}, here, ' of this night'), element('button', { type: 'submit' }, 'Explain'));
    const answer = element('div', { id: 'explanation', 'aria-live': 'polite' });
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      const asked = new URLSearchParams({ query_id: input.value.trim() });
      if (here.checked) asked.set('dt', dt);
      answer.replaceChildren(quiet('Working it out …'));
      ask(`api/queries?${asked}`).then((found) => answer.replaceChildren(...explained(found)), (error) => refused(answer, error));
    });
    body.append(form, answer);
  });
}

function explained(found) {
  const lines = [element('p', {}, element('strong', {}, `${found.query_id}: ${found.decision}`), `, night of ${found.dt}, run ${found.run_id}. ${found.words}`)];
  if (found.candidates.length) lines.push(table('Candidates, best first', [
    ['model', (row) => row.model + (row.chosen ? ' (chosen)' : '')], ['quality', (row) => quality(row.mean_quality), true], ['planned with', (row) => quality(row.planned_quality), true],
    ['cost', (row) => `$${figure(row.cost_usd)}`, true], ['price of what it uses', (row) => quality(row.price), true],
    ['worth', (row) => (row.worth == null ? (row.eligible ? 'closed' : 'not eligible') : quality(row.worth)), true],
  ], found.candidates, (row) => row.chosen));
  return lines;
}

function refused(body, error) {
  body.replaceChildren(element('p', { class: 'notice error', role: 'alert' }, error.message, ...(error.remedy ? [element('br'), 'Remedy: ', element('code', {}, error.remedy)] : [])));
}
