/* The disk of the modelled receiver; included by receiver.pml. */
/* ---- the disk: what is seen, and what a power loss may leave ---- */
typedef Inode { byte d[TOTAL]; byte size; byte dur; bit bad }   /* [0, dur) is durable */
Inode I[NI + 1];
byte vP, vS;                    /* visible: file under each name, 0 = absent */
byte possP = 1, possS = 1;      /* every value each name may have after power loss; bit 0 = absent */

/* ---- effects on the disk ---- */
inline free_inodes() {          /* a file that no name can lead to any more is blanked, so equal disks are equal states */
	d_step {
		i = 1;
		do
		:: i <= NI ->
			if
			:: ((possP | possS) & B(i)) == 0 && wr != i ->
				I[i].d[0] = 0; I[i].d[1] = 0; I[i].d[2] = 0; I[i].d[3] = 0;
				I[i].size = 0; I[i].dur = 0; I[i].bad = 0; allow = allow & ~B(i)
			:: else
			fi;
			i++
		:: else -> break
		od;
		i = 0
	}
}
inline unlink_partial() {
	if
	:: vP == JUNK || (possS & B(vP))                /* also the snapshot's file: it must stay itself */
	:: else -> possP = (possP & ~B(vP)) | B(JUNK)
	fi;
	possP = possP | 1; vP = 0
}
inline create_partial() {
	i = 1;
	do
	:: i <= NI && ((possP | possS) & B(i)) -> i++
	:: else -> break
	od;
	assert(i <= NI);
	vP = i; possP = possP | B(i); i = 0
}
inline put(j, v) {
	I[wr].d[j] = v;
	if
	:: I[wr].dur > j -> I[wr].dur = j             /* rewritten: not durable again until the next sync */
	:: else
	fi;
	if
	:: I[wr].size < j + 1 -> I[wr].size = j + 1
	:: else
	fi
}
inline write_bytes(n) {
	if
	:: n > 0 -> put(eo, e0)
	:: else
	fi;
	if
	:: n > 1 -> put(eo + 1, e1)
	:: else
	fi
}
inline sync_file() {            /* after a failed sync a later success proves nothing */
	if
	:: !I[wr].bad -> I[wr].dur = I[wr].size
	:: else
	fi
}
inline rename_partial() {
	vS = vP; possS = possS | B(vS); vP = 0; possP = possP | 1
}
inline sync_dir() { possP = B(vP); possS = B(vS) }

inline lose(f) {                /* power loss: unsynced bytes kept or zero, length anything down to the synced one */
	if
	:: f == 0 || f == JUNK
	:: else ->
		do
		:: I[f].size > I[f].dur -> I[f].size--; I[f].d[I[f].size] = 0; WIT(power_loss_cut_data)
		:: break
		od;
		i = I[f].dur;
		do
		:: i < I[f].size -> i++
		:: i < I[f].size -> I[f].d[i] = 0; i++; WIT(power_loss_zeroed_data)
		:: i >= I[f].size -> break
		od;
		i = 0; I[f].dur = I[f].size; I[f].bad = 0
	fi
}
inline choose_name(v, set) {
	if
	:: set & 1 -> v = 0
	:: set & B(1) -> v = 1
	:: set & B(2) -> v = 2
	:: set & B(3) -> v = 3
	:: set & B(4) -> v = 4
	:: set & B(5) -> v = 5
	:: set & B(6) -> v = 6
	fi
}
