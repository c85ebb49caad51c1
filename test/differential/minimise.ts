import type { Command, GeneratedScript } from './command.ts';

/**
 * Takes out of a script, which `differs`, what it differs without: commands first, then messages
 * within one, then how it is delivered. What fast-check shrinks by parts is finished here.
 */
export async function minimise(
  script: GeneratedScript,
  differs: (script: GeneratedScript) => Promise<boolean>,
): Promise<GeneratedScript> {
  let smallest = script;
  const attempt = async (candidate: GeneratedScript): Promise<boolean> => {
    if (!(await differs(candidate))) return false;
    smallest = candidate;
    return true;
  };
  if (script.delivery !== 'stepwise') await attempt({ ...smallest, delivery: 'stepwise' });
  if (Object.keys(script.params).length > 0) await attempt({ ...smallest, params: {} });
  for (let index = smallest.commands.length - 1; index >= 0; index--) {
    await attempt({ ...smallest, commands: smallest.commands.toSpliced(index, 1) });
  }
  for (let index = smallest.commands.length - 1; index >= 0; index--) {
    for (let at = smallest.commands[index]!.messages.length - 1; at >= 0; at--) {
      const command = smallest.commands[index]!;
      if (isNeeded(command, at)) continue;
      const fewer = { ...command, messages: command.messages.toSpliced(at, 1) };
      await attempt({ ...smallest, commands: smallest.commands.with(index, fewer) });
    }
  }
  return smallest;
}

/** Without it the client would wait for what does not come, or send what makes no sense. */
function isNeeded({ messages }: Command, at: number): boolean {
  const { kind } = messages[at]!;
  return at === messages.length - 1 || kind === 'copy' || messages[at + 1]?.kind === 'copy';
}
