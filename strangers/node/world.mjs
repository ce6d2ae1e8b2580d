// What a flow needs to know about the server it runs against, and the record of what that server answered.

import { Browser } from './browser.mjs';

const HEADERS = [
  'access-control-allow-origin',
  'cache-control',
  'content-type',
  'dpop-nonce',
  'pragma',
  'retry-after',
  'www-authenticate',
];

// Values that say something of themselves; of the other headers it is compared whether they are there.
function header(name, value) {
  if (name === 'content-type') return `${name}: ${value.split(';')[0]}`;
  if (name === 'www-authenticate') return `${name}: ${value.split(' ')[0]}`;
  if (name === 'cache-control') return `${name}: ${/no-store/.test(value) ? 'no-store' : 'cacheable'}`;
  return name;
}

export class World {
  // What was answered, in order: { step, place, status, error, headers, fields }.
  record = [];
  step = '';

  constructor(setup) {
    Object.assign(this, setup);
  }

  browser() {
    return new Browser(this.person);
  }

  // The library's way to the server, noting what comes back.
  fetch = async (url, options = {}) => {
    const answer = await fetch(url, options);
    await this.note(this.place(new URL(url)), answer);
    return answer;
  };

  // An endpoint by its name in the metadata: the paths are every server's own.
  place({ pathname }) {
    if (pathname.startsWith('/.well-known/')) return 'metadata';
    const named = Object.entries(this.metadata ?? {}).find(
      ([name, value]) => /_(endpoint|uri)$/.test(name) && URL.canParse(value) && new URL(value).pathname === pathname,
    );
    return named ? named[0].replace(/_(endpoint|uri)$/, '') : pathname;
  }

  async note(place, answer) {
    const text = await answer.clone().text();
    let body;
    try {
      body = JSON.parse(text);
    } catch {
      body = undefined;
    }
    if (place === 'metadata' && answer.ok) this.metadata = body;
    const challenge = /error="([^"]*)"/.exec(answer.headers.get('www-authenticate') ?? '');
    this.record.push({
      step: this.step,
      place,
      status: answer.status,
      error: body?.error ?? challenge?.[1] ?? (body?.active === false ? 'inactive' : ''),
      headers: HEADERS.filter((name) => answer.headers.has(name)).map((name) => header(name, answer.headers.get(name))),
      fields: body && typeof body === 'object' ? Object.keys(body).sort() : [],
    });
  }

  // What a browser carried back to the client.
  noteRedirect({ url, status }) {
    const params = [...new URL(url).searchParams.keys()].sort();
    this.record.push({
      step: this.step,
      place: 'redirect',
      status,
      error: new URL(url).searchParams.get('error') ?? '',
      headers: [],
      fields: params,
    });
  }

  noteClaims(kind, claims) {
    const fields = Object.keys(claims).sort();
    this.record.push({ step: this.step, place: kind, status: 200, error: '', headers: [], fields });
  }

  async logIn(link, options) {
    const back = await this.browser().visit(link, { until: this.redirectUri, ...options });
    if (!back.url.href.startsWith(this.redirectUri)) {
      throw new Error(`the login ended at ${back.url} with ${back.status}: ${back.text.slice(0, 400)}`);
    }
    this.noteRedirect(back);
    return back.url;
  }

  // A person types the code of a device and agrees, or refuses.
  async approve(link, options) {
    const page = await this.browser().visit(link, options);
    if (page.status >= 400) throw new Error(`the device page answered ${page.status}: ${page.text.slice(0, 400)}`);
  }
}

export function check(fact, message) {
  if (!fact) throw new Error(message);
}

// The promise must be refused with this OAuth error.
export async function refused(promise, error) {
  let answer;
  try {
    answer = await promise;
  } catch (problem) {
    const told = problem.error ?? problem.cause?.error ?? problem.cause?.[0]?.parameters?.error;
    check(told === error, `${error} was expected, not ${told ?? problem.stack}`);
    return problem;
  }
  throw new Error(`${error} was expected, not ${JSON.stringify(answer)}`);
}
