// What the journeys share: their settings, and their talk with the test, a line each way.

import { createInterface } from "node:readline/promises";

// issuer, clientId, clientSecret, authMethod, redirectUri, scope, username, password
export const settings = JSON.parse(process.argv[2]);

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

async function ask(line) {
  console.log(line);
  return (await lines.next()).value;
}

// Has a person log in at this URL; the URL that the browser is sent back to.
export const browse = async (url) => new URL(await ask(`browse ${url.href}`));

// Has the daemon sign with another key from now on.
export const rotate = () => ask("rotate");

// The claims that an id token had at each station.
export function done(claims) {
  console.log(`done ${JSON.stringify(claims)}`);
  process.exit();
}
