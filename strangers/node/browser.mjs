// A browser without a screen: cookies, redirects and forms, as far as login pages that work without script need them.

const TAG = /<(input|button)\b([^>]*)>/g;
const ATTRIBUTE = /([\w-]+)(?:\s*=\s*("[^"]*"|'[^']*'|[^\s"'>]+))?/g;
const MOST_PAGES = 12;

const unescape = (text) =>
  text
    .replace(/&#(\d+);/g, (_, code) => String.fromCodePoint(Number(code)))
    .replace(/&#x([0-9a-f]+);/gi, (_, code) => String.fromCodePoint(parseInt(code, 16)))
    .replaceAll('&lt;', '<')
    .replaceAll('&gt;', '>')
    .replaceAll('&quot;', '"')
    .replaceAll('&amp;', '&');

function attributes(text) {
  const found = {};
  for (const [, name, value = ''] of text.matchAll(ATTRIBUTE)) {
    found[name.toLowerCase()] = unescape(value.replace(/^["']|["']$/g, ''));
  }
  return found;
}

// The first form of a page, with what its first button that agrees would send.
function form(html) {
  const [, head, inside] = html.match(/<form\b([^>]*)>([\s\S]*?)<\/form>/) ?? [];
  if (inside === undefined) return undefined;
  const fields = {};
  for (const [, tag, text] of inside.matchAll(TAG)) {
    const { name, value = '' } = attributes(text);
    if (tag === 'input' && name) fields[name] = value;
  }
  for (const [, tag, text] of html.matchAll(TAG)) {
    const { name, value = '' } = attributes(text);
    if (tag === 'button' && name && name !== 'abort') {
      fields[name] = value;
      break;
    }
  }
  return { action: attributes(head).action ?? '', fields };
}

export class Browser {
  #cookies = new Map();

  constructor(person) {
    this.person = person;
  }

  async #ask(url, fields) {
    const cookie = [...this.#cookies].map(([name, value]) => `${name}=${value}`).join('; ');
    const answer = await fetch(url, {
      method: fields ? 'POST' : 'GET',
      body: fields && new URLSearchParams(fields),
      headers: cookie ? { cookie, accept: 'text/html' } : { accept: 'text/html' },
      redirect: 'manual',
    });
    for (const line of answer.headers.getSetCookie()) {
      const [, name, value] = line.match(/^([^=]+)=([^;]*)/);
      if (value && !/expires=Thu, 01 Jan 1970/i.test(line)) this.#cookies.set(name, value);
      else this.#cookies.delete(name);
    }
    return answer;
  }

  // Follows a link and fills in every form, until a page has none or a redirect leaves for `until`.
  // `change` says what is filled in otherwise than by an honest person who agrees.
  async visit(link, { until, change = {} } = {}) {
    const leaves = (url) => until !== undefined && url.href.startsWith(until);
    let url = new URL(link);
    let fields;
    for (let page = 0; page < MOST_PAGES; page += 1) {
      const answer = await this.#ask(url, fields);
      const text = await answer.text();
      const location = answer.headers.get('location');
      if (location) {
        url = new URL(location, url);
        fields = undefined;
        if (leaves(url)) return { url, status: answer.status, answer, text };
        continue;
      }
      const next = answer.ok ? form(text) : undefined;
      if (!next) return { url, status: answer.status, answer, text };
      url = new URL(next.action, url);
      fields = this.#filled(next.fields, change);
    }
    throw new Error(`no end after ${MOST_PAGES} pages: ${url}`);
  }

  #filled(fields, change) {
    const { name, password } = this.person;
    const filled = { ...fields };
    for (const field of Object.keys(fields)) {
      if (field === 'username' || field === 'login') filled[field] = name;
      if (field === 'password') filled[field] = password;
      if (field in change) filled[field] = change[field];
    }
    return filled;
  }
}
