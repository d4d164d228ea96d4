// What the page is about is in its address (dt, first or span); this file reads it, asks for the figures and hands them
// to the sections. It only ever asks: there is nothing here that writes.

import { followTheme, forgetWithin, redrawAll, resizeAll } from './charts.js';
import { element, sectionsOf } from './sections.js';

const at = (id) => document.getElementById(id);
const main = at('content');
const state = at('state');
const DAY = 86400000;
let asked = 0;
let extent = null;

export async function ask(path) {
  let answer;
  try {
    answer = await fetch(path, { credentials: 'same-origin', headers: { Accept: 'application/json' } });
  } catch {
    throw new Error('The server cannot be reached. Is the API server running?');
  }
  const body = await answer.json().catch(() => ({}));
  if (answer.ok) return body;
  const words = { 401: 'You are not logged in any more; reload the page.', 403: 'You may not read the runs of route_backlog.' };
  const detail = typeof body.detail === 'string' ? body.detail : `the server answers ${answer.status}`;
  const error = new Error(words[answer.status] ?? detail);
  error.remedy = body.remedy;
  error.kind = body.kind;
  throw error;
}

function say(words, { bad = false, remedy = null } = {}) {
  state.className = bad ? 'error' : '';
  state.setAttribute('role', bad ? 'alert' : 'status');
  state.replaceChildren(words, ...(remedy ? [element('br'), 'Remedy: ', element('code', {}, remedy)] : []));
}

function shift(day, by) {
  return new Date(Date.parse(`${day}T00:00:00Z`) + by * DAY).toISOString().slice(0, 10);
}

function firstOfRange() {
  const dt = at('dt').value;
  const first = at('first').value;
  if (at('span').value === 'custom') return first && first <= dt ? first : dt;
  return shift(dt, 1 - Number(at('span').value));
}

function remember() {
  const here = new URLSearchParams({ dt: at('dt').value, span: at('span').value });
  if (at('span').value === 'custom') here.set('first', firstOfRange());
  history.replaceState(null, '', `?${here}`);
}

async function show() {
  const dt = at('dt').value;
  if (!dt) return;
  const turn = ++asked;
  at('first-label').hidden = at('span').value !== 'custom';
  if (!at('first').value) at('first').value = shift(dt, -29);
  remember();
  main.setAttribute('aria-busy', 'true');
  say(`Reading the night of ${dt} …`);
  const range = ask(`api/nights?${new URLSearchParams({ first: firstOfRange(), last: dt })}`);
  const night = ask(`api/nights/${dt}`);
  const [nights, report] = await Promise.allSettled([range, night]);
  if (turn !== asked) return;
  main.setAttribute('aria-busy', 'false');
  if (nights.status === 'rejected') return fail(nights.reason);
  if (report.status === 'rejected' && report.reason.kind !== 'NotFoundError') return fail(report.reason);
  render(dt, nights.value, report.value ?? null, report.reason);
}

function fail(error) {
  main.hidden = true;
  links(null);
  say(error.message, { bad: true, remedy: error.remedy });
}

function render(dt, nights, report, missing) {
  if (report) state.replaceChildren();
  else nothing(dt, missing);
  forgetWithin(main);
  main.replaceChildren();
  main.hidden = false;
  links(report);
  for (const section of sectionsOf(dt, nights, report, ask)) {
    main.append(section.holder);
    section.fill();
  }
  performance.mark('nightshift-shown');
  document.documentElement.dataset.shown = dt;
}

function nothing(dt, missing) {
  const plans = extent?.nights ? `there are plans from ${extent.first} to ${extent.last}, ${extent.nights} nights.` : 'no night has been planned yet.';
  say(`No plan of ${dt} is in force; ${plans}`, { remedy: missing?.remedy });
  if (!extent?.last || extent.last === dt) return;
  const back = element('button', { type: 'button', id: 'newest' }, `Show the night of ${extent.last}`);
  back.addEventListener('click', () => {
    at('dt').value = extent.last;
    show();
  });
  state.append(element('p', {}, back));
}

// Back to the DAG run. The frame may not navigate the page around it, but that page is of the same origin and has links.
function links(report) {
  at('links').replaceChildren();
  const [dag, ...rest] = (report?.run_key ?? '').split('/');
  const run = rest.join('/');
  if (!run || dag !== 'route_backlog') return;
  const base = location.pathname.replace(/\/nightshift\/?$/, '');
  const href = `${base}/dags/${encodeURIComponent(dag)}/runs/${encodeURIComponent(run)}`;
  const link = element('a', { href, id: 'dag-run' }, 'The DAG run that planned it');
  link.addEventListener('click', (event) => {
    if (parent === window) return;
    event.preventDefault();
    const outer = parent.document.createElement('a');
    outer.href = href;
    parent.document.body.append(outer);
    outer.click();
    outer.remove();
  });
  at('links').append(link);
}

async function nightAsked(here) {
  if (here.get('dag') && here.get('run')) {
    try {
      return (await ask(`api/runs?${new URLSearchParams({ dag: here.get('dag'), run: here.get('run') })}`)).dt;
    } catch (error) {
      if (error.kind !== 'NotFoundError') throw error;
    }
  }
  return /^\d{4}-\d{2}-\d{2}$/.test(here.get('dt') ?? '') ? here.get('dt') : extent.last;
}

async function start() {
  say('Reading which nights there are …');
  const here = new URLSearchParams(location.search);
  extent = await ask('api/extent');
  const dt = await nightAsked(here);
  if (!dt) return say('No night has been planned yet.', { remedy: 'routing retrain, allocate and route, or let the DAGs run' });
  at('dt').value = dt;
  if ([...at('span').options].some((option) => option.value === here.get('span'))) at('span').value = here.get('span');
  if (here.get('first')) at('first').value = here.get('first');
  await show();
}

function step(by) {
  if (!at('dt').value) return;
  at('dt').value = shift(at('dt').value, by);
  show();
}

at('when').addEventListener('submit', (event) => event.preventDefault());
for (const id of ['dt', 'span', 'first']) at(id).addEventListener('change', show);
at('earlier').addEventListener('click', () => step(-1));
at('later').addEventListener('click', () => step(1));
let pending = null;
addEventListener('resize', () => {
  clearTimeout(pending);
  pending = setTimeout(resizeAll, 100);
});
followTheme(redrawAll);
start().catch(fail);
