// Commands: confirmed first where they take something away, and always followed by what the engine said to them.

import { engine } from "./engine.svelte";
import { problem } from "./format";
import type { Done, Refusal } from "./protocol";

export interface Question {
  title: string;
  text: string;
  /** Of the button that goes ahead. */
  verb: string;
}
interface Asked extends Question {
  settle(yes: boolean): void;
}
export interface Answer {
  id: number;
  refused: boolean;
  title: string;
  text: string;
}

const SHOWN_MS = 6_000;
const MOST_SHOWN = 4;

class Commands {
  question = $state.raw<Asked>();
  answers = $state.raw<Answer[]>([]);
  #lastId = 0;

  /** `what` names it for people: "pause binance". Undefined: it was not confirmed. */
  async give(
    what: string,
    op: string,
    members: Record<string, unknown> = {},
    question?: Question,
  ): Promise<Done | Refusal | undefined> {
    if (question && !(await this.#confirmed(question))) return undefined;
    const answer = await engine.ask(op, members);
    if (answer.type === "done") this.#tell(false, what, `acknowledged${state(answer.result)}`);
    else this.#tell(true, `${what}: refused`, reason(answer));
    return answer;
  }

  dismiss(id: number): void {
    this.answers = this.answers.filter((answer) => answer.id !== id);
  }

  #confirmed(question: Question): Promise<boolean> {
    this.question?.settle(false);
    return new Promise((settle) => {
      this.question = {
        ...question,
        settle: (yes) => {
          this.question = undefined;
          settle(yes);
        },
      };
    });
  }

  #tell(refused: boolean, title: string, text: string): void {
    const id = ++this.#lastId;
    this.answers = [...this.answers, { id, refused, title, text }].slice(-MOST_SHOWN);
    if (!refused) setTimeout(() => this.dismiss(id), SHOWN_MS);
  }
}

function state(result: unknown): string {
  const told = (result as { state?: string } | null | undefined)?.state;
  return told ? `: ${told}` : "";
}

export function reason(refusal: Refusal): string {
  const where = refusal.field ? `${refusal.field}: ` : "";
  const remedy = refusal.remedy ? ` (${refusal.remedy})` : "";
  return `${where}${refusal.detail}${remedy} [${problem(refusal.problem)}]`;
}

export const commands = new Commands();
