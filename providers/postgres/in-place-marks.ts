/** What the comment of a database says that an in-place restore left, or put in place. */
export interface CopyMark {
  /** `kept`: the database that was in use; `failed`: a restored one that was rolled back; `restored`: in use, where none was before. */
  readonly kind: 'kept' | 'failed' | 'restored';
  readonly restore: string;
  /** The name of the database in use. */
  readonly database: string;
  /** ISO time of the swap. */
  readonly at: string;
  /** Its own comment, which comes back with it. */
  readonly comment?: string;
}

const head = 'resurgo: ';
const words = { kept: 'kept until `resurgo restore confirm`', failed: 'rolled back', restored: 'restored' } as const;

export const copyMark = (mark: CopyMark): string => `${head}${words[mark.kind]} ${JSON.stringify(mark)}`;

/** The mark in a database's comment; undefined for any other comment. */
export const parseCopyMark = (comment: string | null | undefined): CopyMark | undefined => {
  if (comment?.startsWith(head) !== true) return undefined;
  try {
    const mark = JSON.parse(comment.slice(comment.indexOf('{'))) as Partial<CopyMark>;
    if (
      (mark.kind !== 'kept' && mark.kind !== 'failed' && mark.kind !== 'restored') ||
      typeof mark.restore !== 'string' ||
      typeof mark.database !== 'string' ||
      typeof mark.at !== 'string'
    )
      return undefined;
    return mark as CopyMark;
  } catch {
    return undefined;
  }
};
