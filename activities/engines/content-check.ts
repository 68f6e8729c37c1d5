export { contentCheck } from '../../providers/postgres/content-check.ts';
