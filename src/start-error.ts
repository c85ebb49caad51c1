interface SystemError {
  readonly code?: unknown;
  readonly syscall?: unknown;
  readonly address?: unknown;
  readonly port?: unknown;
  readonly hint?: unknown;
}

/** Why the start failed and what to do, in one line. */
export function explainStartError(error: unknown): string {
  const { code, syscall, address, port, hint } = (error ?? {}) as SystemError;
  const place = `${String(address ?? 'the address')}${port === undefined ? '' : `:${String(port)}`}`;
  if (syscall === 'listen' || syscall === 'getaddrinfo') {
    switch (code) {
      case 'EADDRINUSE':
        return `cannot listen on ${place}: another program does (is Tidemark running already?); stop it, or write another port in listen or http`;
      case 'EADDRNOTAVAIL':
        return `cannot listen on ${place}: this machine has no such address; write 127.0.0.1, or one that it has`;
      case 'EACCES':
        return `cannot listen on ${place}: not allowed for this user; write a port above 1023`;
      case 'ENOTFOUND':
      case 'EAI_AGAIN':
        return 'a host name cannot be resolved: check listen, http and the nodes';
    }
  }
  const message = (error instanceof Error ? error.message : String(error)).replaceAll(/\s+/g, ' ');
  const text = message === '' ? String(code ?? 'the start failed') : message;
  return typeof hint === 'string' ? `${text} (${hint})` : text;
}
