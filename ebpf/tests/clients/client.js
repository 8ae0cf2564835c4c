// A name a line: resolves it and connects to the first and the last address. `lookup` = by the C library, `resolve` = by c-ares.
const dns = require('dns'), net = require('net'), readline = require('readline');
const reach = (address) => new Promise((done) => {
  const socket = net.connect({ host: address, port: 80, timeout: 2000 });
  socket.on('connect', () => { socket.destroy(); done(0); });
  socket.on('timeout', () => { socket.destroy(); done('timeout'); });
  socket.on('error', (error) => done(error.errno));
});
const resolve = async (name) => {
  if (process.argv[2] === 'lookup') return (await dns.promises.lookup(name, { all: true })).map((found) => found.address);
  const [v4, v6] = await Promise.allSettled([dns.promises.resolve4(name), dns.promises.resolve6(name)]);
  return [...(v4.value || []), ...(v6.value || [])];
};
(async () => {
  for await (const name of readline.createInterface({ input: process.stdin })) {
    const found = await resolve(name).catch(() => []);
    console.log(found.length ? `${await reach(found[0])} ${await reach(found.at(-1))}` : 'unresolved');
  }
})();
