"""The word `completion`: a script that completes words, options and their choices in a shell."""

import argparse

from pisolve.cli.parser import add_word

SHELLS = ("bash", "zsh", "fish")
BASH = """# completion for pisolve; in ~/.bashrc:  eval "$(pisolve completion bash)"
_pisolve() {{
    local word="${{COMP_WORDS[1]}}" before="${{COMP_WORDS[COMP_CWORD-1]}}" now="${{COMP_WORDS[COMP_CWORD]}}" list=""
    if [ "$COMP_CWORD" -eq 1 ]; then
        list="{words}"
    else
        case "$word $before" in
{choices}
        esac
        if [ -z "$list" ] && [[ "$now" == -* ]]; then
            case "$word" in
{options}
            esac
        fi
    fi
    COMPREPLY=($(compgen -W "$list" -- "$now"))
}}
complete -o default -F _pisolve pisolve
"""


def add(words) -> None:
    """The word, for the parser's list."""
    add_word(words, run, "print a script that completes words and options in bash, zsh or fish", _options)


def _options(new) -> None:
    new.add_argument("shell", choices=SHELLS, help='for bash and zsh: eval "$(pisolve completion bash)" in ~/.bashrc '
                     "or ~/.zshrc; for fish: pisolve completion fish | source")


def run(a) -> None:
    """Print the script."""
    print({"bash": bash, "zsh": zsh, "fish": fish}[a.shell](known(a.parser)), end="")


def known(top) -> dict[str, tuple[str, dict[str, tuple[str, ...]]]]:
    """{word: (what it does, {option: its choices})} of the whole command line, whose parser has not parsed it yet."""
    words = next(a for a in top._actions if isinstance(a, argparse._SubParsersAction))
    texts = {a.dest: a.help or "" for a in words._choices_actions}
    found = {}
    for name, one in words.choices.items():
        if one.options is not None:  # those of `completion` itself were added when it was read
            one.options(one)
        found[name] = texts[name], {option: tuple(map(str, action.choices or ())) for action in one._actions
                                    for option in action.option_strings if option.startswith("--")}
    return found


def bash(found) -> str:
    """For bash: words, then the options of a word; an option with choices offers these, all else files."""
    pad = " " * 12
    choices = [f'{pad}"{word} {option}") list="{" ".join(values)}" ;;' for word, (_, options) in found.items()
               for option, values in options.items() if values]
    lines = [f'{pad}    {word}) list="{" ".join(options)}" ;;' for word, (_, options) in found.items()]
    return BASH.format(words=" ".join(found), choices="\n".join(choices), options="\n".join(lines))


def zsh(found) -> str:
    """For zsh, which runs bash's."""
    return "autoload -U +X compinit && compinit\nautoload -U +X bashcompinit && bashcompinit\n" + bash(found)


def fish(found) -> str:
    """For fish, with what each word does."""
    lines = ["# completion for pisolve; once:  pisolve completion fish > ~/.config/fish/completions/pisolve.fish"]
    for word, (text, options) in found.items():
        told = text.replace("\\", "\\\\").replace("'", "\\'")
        lines.append(f"complete -c pisolve -n __fish_use_subcommand -a {word} -d '{told}'")
        for option, values in options.items():
            more = f" -x -a '{' '.join(values)}'" if values else ""
            lines.append(f"complete -c pisolve -n '__fish_seen_subcommand_from {word}' -l {option[2:]}{more}")
    return "\n".join(lines) + "\n"
