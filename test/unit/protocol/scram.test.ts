import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { md5Password } from '../../../src/protocol/md5.ts';
import { ProtocolError } from '../../../src/protocol/protocol-error.ts';
import {
  deriveScramVerifier,
  formatScramVerifier,
  iterationsMax,
  mockScramVerifier,
  parseScramVerifier,
  type ScramVerifier,
} from '../../../src/protocol/scram.ts';
import { ScramClient } from '../../../src/protocol/scram-client.ts';
import { ScramServer } from '../../../src/protocol/scram-server.ts';

/** The example of RFC 7677, section 3. */
const rfc = {
  clientNonce: 'rOprNGfwEbeRWgbNEkqO',
  serverNonce: '%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0',
  clientFirst: 'n,,n=user,r=rOprNGfwEbeRWgbNEkqO',
  serverFirst:
    'r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096',
  clientFinal:
    'c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=',
  serverFinal: 'v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=',
};
const rfcSalt = Buffer.from('W22ZaJ0SNY7soEsUEjb6gQ==', 'base64');

const bytes = (text: string) => Buffer.from(text, 'latin1');

let verifier: ScramVerifier;
beforeAll(async () => {
  verifier = await deriveScramVerifier('pencil', rfcSalt);
});

/** Runs a whole exchange; returns the server's last message, null where it refused. */
async function exchange(password: string, server: ScramServer): Promise<string | null> {
  const client = new ScramClient(password);
  const clientFinal = await client.respond(server.first(bytes(client.firstMessage)));
  const serverFinal = server.final(bytes(clientFinal));
  if (serverFinal !== null) client.verify(serverFinal);
  return serverFinal;
}

describe('the example of RFC 7677', () => {
  it('as the client', async () => {
    const client = new ScramClient('pencil', { user: 'user', nonce: rfc.clientNonce });
    expect(client.firstMessage).toBe(rfc.clientFirst);
    expect(await client.respond(rfc.serverFirst)).toBe(rfc.clientFinal);
    client.verify(rfc.serverFinal);
  });

  it('as the server', () => {
    const server = new ScramServer(verifier, false, rfc.serverNonce);
    expect(server.first(bytes(rfc.clientFirst))).toBe(rfc.serverFirst);
    expect(server.final(bytes(rfc.clientFinal))).toBe(rfc.serverFinal);
  });
});

describe('an exchange', () => {
  it.each(['pencil', '', 'I\u00adX', '\u2168', 'пароль', '🦕', 'a'.repeat(500)])(
    'succeeds with the password %s',
    async (password) => {
      const derived = await deriveScramVerifier(password);
      expect(await exchange(password, new ScramServer(derived, false))).toMatch(/^v=/);
    },
  );

  it('fails with another password', async () => {
    expect(await exchange('pencil2', new ScramServer(verifier, false))).toBeNull();
  });

  it('fails for an unknown user, with messages of the same form', async () => {
    const mock = mockScramVerifier('nobody', Buffer.from('secret'));
    const server = new ScramServer(mock, true, 'n');
    const real = new ScramServer(verifier, false, 'n');
    const form = (text: string) => text.replace(/s=[^,]*/, (salt) => `s:${salt.length}`);
    const first = bytes('n,,n=,r=c');
    expect(form(server.first(first))).toBe(form(real.first(first)));
    expect(await exchange('pencil', new ScramServer(mock, true))).toBeNull();
  });

  it('fails when doomed even with the right proof', async () => {
    expect(await exchange('pencil', new ScramServer(verifier, true))).toBeNull();
  });

  it('shows an unknown user the same salt each time, and each user another', () => {
    const salt = (user: string, key: string) =>
      mockScramVerifier(user, Buffer.from(key)).salt.toString('hex');
    expect(salt('a', 'k')).toBe(salt('a', 'k'));
    expect(new Set([salt('a', 'k'), salt('b', 'k'), salt('a', 'l')]).size).toBe(3);
  });
});

describe('ScramServer', () => {
  it.each([
    ['channel binding', 'p=tls-server-end-point,,n=,r=c'],
    ['an authorization identity', 'n,a=admin,n=,r=c'],
    ['a mandatory extension', 'n,,m=x,n=,r=c'],
    ['no nonce', 'n,,n='],
    ['a nonce with a space', 'n,,n=,r=a b'],
    ['nothing', ''],
    ['a broken extension', 'n,,n=,r=c,?'],
  ])('refuses %s', (_, clientFirst) => {
    expect(() => new ScramServer(verifier, false).first(bytes(clientFirst))).toThrow(ProtocolError);
  });

  it('takes a client that could bind but thinks that we cannot, and ignores extensions', async () => {
    const server = new ScramServer(verifier, false, 's');
    server.first(bytes('y,,n=ignored,r=c,x=ignored'));
    expect(server.final(bytes(`c=eSws,r=cs,x=1,p=${Buffer.alloc(32).toString('base64')}`))).toBe(
      null,
    );
  });

  const zeros = Buffer.alloc(32).toString('base64');
  it.each([
    ['another channel binding', `c=eSws,r=cs,p=${zeros}`],
    ['another nonce', `c=biws,r=ct,p=${zeros}`],
    ['no proof', 'c=biws,r=cs'],
    ['a short proof', 'c=biws,r=cs,p=AAAA'],
    ['a proof that is not base64', `c=biws,r=cs,p=!${zeros.slice(1)}`],
    ['something behind the proof', `c=biws,r=cs,p=${zeros},x=1`],
    ['nothing', ''],
  ])('refuses %s', (_, clientFinal) => {
    const server = new ScramServer(verifier, false, 's');
    server.first(bytes('n,,n=,r=c'));
    expect(() => server.final(bytes(clientFinal))).toThrow(ProtocolError);
  });

  it('raises nothing but ProtocolError on random bytes', () => {
    const any = fc.oneof(
      fc.uint8Array({ maxLength: 60 }).map((array) => Buffer.from(array)),
      fc.string({ unit: fc.constantFrom(...'n,r=cpbiws') }).map(bytes),
    );
    fc.assert(
      fc.property(any, any, (first, final) => {
        const server = new ScramServer(verifier, false, 's');
        try {
          server.first(first);
        } catch (error) {
          expect(error).toBeInstanceOf(ProtocolError);
          return;
        }
        try {
          expect(server.final(final)).toBeNull();
        } catch (error) {
          expect(error).toBeInstanceOf(ProtocolError);
        }
      }),
    );
  });
});

describe('ScramClient', () => {
  const salt = 'AAAA';
  it.each([
    ['a nonce that is not its own', `r=other,s=${salt},i=1`],
    ['its own nonce alone', `r=nonce,s=${salt},i=1`],
    ['no salt', 'r=nonce1,s=,i=1'],
    ['a salt that is not base64', 'r=nonce1,s=A,i=1'],
    ['no iterations', `r=nonce1,s=${salt}`],
    ['zero iterations', `r=nonce1,s=${salt},i=0`],
    ['negative iterations', `r=nonce1,s=${salt},i=-1`],
    ['too many iterations', `r=nonce1,s=${salt},i=${iterationsMax + 1}`],
    ['an error', 'e=other-error'],
  ])('refuses %s', async (_, serverFirst) => {
    const client = new ScramClient('pencil', { nonce: 'nonce' });
    await expect(client.respond(serverFirst)).rejects.toThrow(ProtocolError);
  });

  it.each(['v=AAAA', `v=${Buffer.alloc(32).toString('base64')}`, 'e=invalid-proof', ''])(
    'refuses a server that cannot prove itself: %s',
    async (serverFinal) => {
      const client = new ScramClient('pencil', { nonce: 'nonce' });
      await client.respond(`r=nonce1,s=${salt},i=1`);
      expect(() => client.verify(serverFinal)).toThrow(ProtocolError);
    },
  );
});

describe('verifiers', () => {
  it('come back from their text', () => {
    const text = formatScramVerifier(verifier);
    expect(text).toMatch(/^SCRAM-SHA-256\$4096:W22ZaJ0SNY7soEsUEjb6gQ==\$.{44}:.{44}$/);
    expect(parseScramVerifier(text)).toEqual(verifier);
  });

  it('are not read from anything else', () => {
    const text = formatScramVerifier(verifier);
    for (const wrong of [
      '',
      'secret',
      'md5d41d8cd98f00b204e9800998ecf8427e',
      text.replace('256', '1'),
      text.replace('4096', '0'),
      text.replace('4096', 'x'),
      text.slice(0, -1),
      `${text} `,
      text.replace(/:.*?\$/, ':$'),
    ]) {
      expect(parseScramVerifier(wrong)).toBeNull();
    }
  });
});

describe('md5Password', () => {
  it('is what PostgreSQL expects', () => {
    // md5(md5('secret' || 'user') || salt), computed with md5sum.
    expect(md5Password('user', 'secret', Buffer.from([1, 2, 3, 4]))).toBe(
      'md5fccef98e4f1cf6cbe96b743fad4e8bd0',
    );
  });
});
