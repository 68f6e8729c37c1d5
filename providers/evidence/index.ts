export { findEvidence, listChains, listEvidence, type ListedEvidence, type ListEvidenceOptions } from './read.ts';
export { missingCopies, verifyEvidence, type VerifiedChain } from './verify.ts';
export { parseDocument } from './signed.ts';
export { renderPage } from './page.ts';
export { writeEvidence, type EvidenceHead, type WrittenEvidence } from './write.ts';
