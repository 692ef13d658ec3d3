// Talk to the sandbox: reads by GET, everything people do by POST with the page's token.

const token = document.querySelector('meta[name="sandbox-token"]').content;

export class Refusal extends Error {
  constructor(code, message) { super(message); this.code = code; }
}

async function answer(request) {
  let response;
  try {
    response = await request;
  } catch {
    throw new Refusal("gone", "The sandbox is not running any more.");
  }
  const told = await response.json().catch(() => ({}));
  if (!response.ok) throw new Refusal(told.error ?? "failed", told.message ?? `The sandbox answered ${response.status}.`);
  return told;
}

export function read(verb, query = {}) {
  return answer(fetch(`/control/${verb}?${new URLSearchParams(query)}`));
}

export function act(verb, body) {
  const headers = { "Content-Type": "application/json", "X-Sandbox-Token": token };
  return answer(fetch(`/control/${verb}`, { method: "POST", headers, body: JSON.stringify(body) }));
}
