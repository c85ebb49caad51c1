/**
 * Passes bytes on between each client and a server connection of its own, and looks at none of them.
 * Nobody is held back who sends faster than the other reads: the bench has no such clients.
 * Its arguments: the port to listen on, the server's host and port.
 */
import { connect, createServer, type Socket } from 'node:net';
import { oneReadBuffer, readIntoOneBuffer } from '../../src/pool/one-read-buffer.ts';

const [port, host = '', serverPort] = process.argv.slice(2);

function passOn(accepted: Socket): void {
  const client = readIntoOneBuffer(accepted);
  const server: Socket = connect({
    ...{ host, port: Number(serverPort), noDelay: true },
    onread: oneReadBuffer(() => server),
  });
  for (const [from, to] of [
    [client, server],
    [server, client],
  ] as const) {
    from.on('data', (bytes: Buffer) => to.write(bytes));
    from.on('error', () => to.destroy());
    from.on('end', () => to.destroy());
    from.on('close', () => to.destroy());
  }
  server.once('connect', () => client.resume());
}

createServer({ pauseOnConnect: true, noDelay: true }, passOn).listen(Number(port), '127.0.0.1');
