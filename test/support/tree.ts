/** Trees of files that are hard to back up, and a way to compare two that shares nothing with ours: Python, byte for byte. */
import { execFileSync } from 'node:child_process';

const python = (script: string, ...args: string[]): string => execFileSync('python3', ['-c', script, ...args], { encoding: 'utf8', maxBuffer: 256 * 1024 * 1024 });

/** One line per entry: type, mode, owner, time in ns, size, link, xattrs, SHA-256 of the content, group of hard links. Sparse files of more than 1 GiB by their extents. */
export const describeTree = (root: string, options: { readonly times?: boolean } = {}): string =>
  python(`
import hashlib, os, stat, sys
root = os.fsencode(sys.argv[1]); times = sys.argv[2] == 'true'
groups = {}
def content(p, st):
    h = hashlib.sha256()
    with open(p, 'rb') as f:
        if st.st_size > 1 << 30:
            at = 0
            while True:
                try: at = os.lseek(f.fileno(), at, os.SEEK_DATA)
                except OSError: break
                end = os.lseek(f.fileno(), at, os.SEEK_HOLE)
                f.seek(at); data = f.read(end - at)
                # Zeros at the edges of an extent are as good as holes.
                if data.strip(b'\\0'): h.update(b'%d:' % (at + len(data) - len(data.lstrip(b'\\0'))) + data.strip(b'\\0'))
                at = end
        else:
            for block in iter(lambda: f.read(1 << 20), b''): h.update(block)
    return h.hexdigest()
def line(p):
    st = os.lstat(p); t = stat.S_IFMT(st.st_mode); out = [oct(st.st_mode), str(st.st_uid), str(st.st_gid)]
    if times: out.append(str(st.st_mtime_ns))
    if t == stat.S_IFREG: out += [str(st.st_size), content(p, st)]
    if t == stat.S_IFLNK: out.append(repr(os.readlink(p)))
    if t in (stat.S_IFCHR, stat.S_IFBLK): out.append(str(st.st_rdev))
    if t not in (stat.S_IFDIR,) and st.st_nlink > 1: out.append('group %r' % groups.setdefault(st.st_ino, os.path.relpath(p, root)))
    if t != stat.S_IFLNK:
        try: out += ['%s=%r' % (n, os.getxattr(p, n)) for n in sorted(os.listxattr(p))]
        except OSError: pass
    print(repr(os.path.relpath(p, root)), ' '.join(out))
line(root)
for d, dirs, files in os.walk(root):
    dirs.sort(); files.sort()
    for n in sorted(dirs + files): line(os.path.join(d, n))
`, root, String(options.times ?? true));

/** Names, sizes, links and types that break naive tools. */
export const adversarialTree = (root: string): string =>
  python(`
import os, sys
root = os.fsencode(sys.argv[1]); os.makedirs(root, exist_ok=True); os.chdir(root)
def w(p, data=b'x'):
    os.makedirs(os.path.dirname(p) or b'.', exist_ok=True)
    with open(p, 'wb') as f: f.write(data)
w(b'empty', b''); w(b'plain', b'hello\\n'); w(b'exact512', b'a' * 512); w(b'exact513', b'b' * 513)
w(b'big', os.urandom(3 * 1024 * 1024 + 17))
for n in (b'new\\nline', b'tab\\t', b'not-utf8-\\xff\\xfe', b'quote"\\'\\\\', b'-rf', b'--checkpoint-action=exec=false', b'@list', b' space ', b'\\x01\\x7f', 'gr\\u00fc\\u00df'.encode(), 'gru\\u0308\\u00df'.encode(), b'*?[x]', b'.hidden', b'a:b', b'\\xc3\\x28', b'n' * 255): w(n, b'content of ' + n)
w(b'deep/' + b'/'.join([b'd' * 100] * 20) + b'/leaf'); w(b'dir with \\n newline/in', b'1'); w(b'a/b', b'1'); w(b'a.b', b'2'); w(b'a-b/c', b'3'); w(b'a/b-c', b'4')
os.makedirs(b'empty-dir'); os.makedirs(b'closed'); w(b'closed/in'); os.chmod(b'closed', 0o555); os.chmod(b'plain', 0o4755); os.chmod(b'empty-dir', 0o1777)
w(b'hl/one', b'linked'); os.link(b'hl/one', b'hl/two'); os.link(b'hl/one', b'zz-three')
os.symlink(b'loop-b', b'loop-a'); os.symlink(b'loop-a', b'loop-b'); os.symlink(b'.', b'self'); os.symlink(b'/etc/passwd', b'abs'); os.symlink(b'../../../outside', b'up'); os.symlink(b'no\\nsuch\\xff', b'dangling'); os.symlink(b'a', b'to-dir'); os.link(b'dangling', b'dangling-too', follow_symlinks=False)
os.mkfifo(b'fifo')
with open(b'sparse', 'wb') as f: f.truncate(40 << 20); f.seek(20 << 20); f.write(b'in the middle'); f.seek(39 << 20); f.write(b'end')
with open(b'hole', 'wb') as f: f.truncate(5 << 20)
try: os.setxattr(b'plain', 'user.note', b'kept\\0\\xff')
except OSError: pass
if os.getuid() == 0:
    os.chown(b'a', 12345, 54321); os.lchown(b'abs', 1, 2); os.chown(b'hl/one', 4000000, 4000001)
    try: os.mknod(b'null', 0o20666, os.makedev(1, 3))
    except OSError: pass
for i, p in enumerate((b'empty', b'hl/one', b'closed', b'big')): os.utime(p, ns=(10**18 + i, 1_000_000_000_123_456_789 + i))
os.utime(b'abs', ns=(1, 946684800_000_000_001), follow_symlinks=False)
os.utime(b'a.b', ns=(-5, -1_500_000_000))
`, root);
