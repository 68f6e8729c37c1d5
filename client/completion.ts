import type { Argument, Command, Option } from 'commander';
import type { CliContext } from './cli-context.ts';

/** Thin scripts: what may follow is asked of `resurgo complete-line -- WORDS…`, the last word being the one begun. */
export function completionScript(shell: 'bash' | 'zsh' | 'fish'): string {
  switch (shell) {
    case 'bash':
      return `_resurgo() {
  local IFS=$'\\n'
  COMPREPLY=($(compgen -W "$(resurgo complete-line -- "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)" -- "\${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _resurgo resurgo
`;
    case 'zsh':
      return `#compdef resurgo
_resurgo() {
  local -a candidates
  candidates=("\${(@f)$(resurgo complete-line -- "\${(@)words[2,CURRENT]}" 2>/dev/null)}")
  if [[ -n "$candidates" ]]; then compadd -a candidates; else _files; fi
}
if [ "$funcstack[1]" = "_resurgo" ]; then _resurgo "$@"; else compdef _resurgo resurgo; fi
`;
    case 'fish':
      return `complete -c resurgo -f -a '(resurgo complete-line -- (commandline -opc)[2..] (commandline -ct) 2>/dev/null)'
complete -c resurgo -l config -r -F
`;
  }
}

const takesValue = (option: Option | undefined): option is Option =>
  option !== undefined && (option.required || option.optional);
const findOption = (chain: readonly Command[], word: string): Option | undefined =>
  chain.flatMap((c) => c.options).find((option) => option.long === word || option.short === word);

/** Candidates for the last of `words`; empty where files are meant or nothing fits. */
export async function completeLine(program: Command, words: readonly string[], context: CliContext): Promise<string[]> {
  const before = words.slice(0, -1);
  const current = words.at(-1) ?? '';
  const chain = [program];
  let position = 0;
  let configPath = context.configPath;
  for (let i = 0; i < before.length; i++) {
    const word = before[i] ?? '';
    if (word.startsWith('-')) {
      const option = findOption(chain, word);
      if (!takesValue(option)) continue;
      if (i === before.length - 1) return matching(option.argChoices ?? [], current);
      i++;
      if (option.long === '--config') configPath = before[i] ?? configPath;
      continue;
    }
    const deeper =
      position === 0 ? chain.at(-1)?.commands.find((c) => c.name() === word || c.aliases().includes(word)) : undefined;
    if (deeper) chain.push(deeper);
    else position++;
  }
  const command = chain.at(-1) ?? program;
  if (current.startsWith('-')) {
    return matching(
      chain
        .flatMap((c) => c.options)
        .filter((option) => !option.hidden && !before.includes(option.long ?? ''))
        .flatMap((option) => option.long ?? [])
        .concat('--help'),
      current,
    );
  }
  const visible =
    position === 0
      ? command.commands.filter((c) => !(c as Command & { _hidden?: boolean })._hidden).map((c) => c.name())
      : [];
  const args = command.registeredArguments;
  const argument: Argument | undefined = args[position] ?? (args.at(-1)?.variadic ? args.at(-1) : undefined);
  const named =
    argument === undefined
      ? []
      : (argument.argChoices ?? (/^targets?$/i.test(argument.name()) ? await targetNames(configPath) : []));
  return matching([...visible, ...named], current);
}

const matching = (candidates: readonly string[], begun: string): string[] =>
  [...new Set(candidates)].filter((word) => word.startsWith(begun)).sort();

/** From a configuration that may well be half written. */
async function targetNames(configPath: string): Promise<string[]> {
  try {
    const [{ readTrustedFile }, { parseYaml }] = await Promise.all([
      import('../config/safe-file.ts'),
      import('../config/yaml-source.ts'),
    ]);
    const { data } = parseYaml(readTrustedFile(configPath, 'Configuration', 1024 * 1024).bytes.toString('utf8'));
    const { namePattern } = await import('../domain/ids.ts');
    return Object.keys((data as { targets?: object }).targets ?? {}).filter((name) => namePattern.test(name));
  } catch {
    return [];
  }
}
