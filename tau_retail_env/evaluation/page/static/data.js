// The data: packed in the page itself, or on the server that it came from (--live).

const KEPT = 48; // unpacked parcels, of a quarter of a megabyte each
const parcels = new Map();

export const isLive = document.getElementById("index") === null;

export async function openIndex() {
  return JSON.parse(await unpacked("index"));
}

// What has changed when it differs from before: a text of the server's.
export async function version() {
  const answer = await fetch("data/version", { cache: "no-store" });
  if (!answer.ok) throw new Error(`the server answers ${answer.status}`);
  return answer.json();
}

export async function conversation(row) {
  const [parcel, place] = row.at;
  return (await items(`conversations-${parcel}`))[place];
}

export async function tokensOf(row) {
  if (!row.tokens_at) return null;
  const [parcel, place] = row.tokens_at;
  return (await items(`tokens-${parcel}`))[place];
}

// The items of a parcel; the one that was used longest ago makes room.
async function items(name) {
  let found = parcels.get(name);
  parcels.delete(name);
  found ??= unpacked(name).then(JSON.parse);
  parcels.set(name, found);
  if (parcels.size > KEPT) parcels.delete(parcels.keys().next().value);
  return found;
}

async function unpacked(name) {
  const packed = isLive ? await fetched(name) : inside(name);
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Response(stream).text();
}

function inside(name) {
  const binary = atob(document.getElementById(name).textContent);
  const bytes = new Uint8Array(binary.length);
  for (let place = 0; place < binary.length; place += 1) bytes[place] = binary.charCodeAt(place);
  return bytes;
}

async function fetched(name) {
  const answer = await fetch(`data/${name}`, { cache: "no-store" });
  if (!answer.ok) throw new Error(`${name}: the server answers ${answer.status}`);
  return answer.arrayBuffer();
}
