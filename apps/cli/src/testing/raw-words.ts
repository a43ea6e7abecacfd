/** Words of zod, Node, OpenSSL and the API, which say nothing to a person who types commands. */
export const rawWords =
  /Invalid (?:option|input|string)|Too (?:big|small)|expected (?:string|number)|\bE[A-Z]{4,}\b|ERR_|\.ts:\d|unexpected:|PATCH|SSL routines|ByteString|\w\[\d+\]/;
