/*
 * A snapshot receiver, modelled a second time from the text of the requirements alone (clauses SR-...).
 * README.md says what is claimed within which bounds; run.sh runs every configuration.
 *
 * Switches:  NEWER     the source also has a second, newer snapshot
 *            TAIL      the last data chunk lacks `done`; an empty `done` chunk follows at offset 4
 *            CORRUPT   one bit of one envelope may be flipped, payload or header
 *            FAILS=n   at most n effects fail;  CRASHES=n  at most n crashes (kill or power loss)
 *            HEAL      at any moment everything bad may stop; the source then restarts from 0 (liveness)
 *            STRAY     after that, one late copy may still arrive between two envelopes of the source
 *            VISIBLE_ONLY  judge the snapshot only by what is visible, so that only a crash that
 *                          really happens can show a loss (this checks the crash transitions)
 *            LATER_BY_LSN  the other reading of "later" in SR-PUB-003 (does not hold, see README)
 *            BUG_...   seeded bugs; NO_BOUND  leave the bound of SR-LIV-001 to the LTL claim
 *            NO_LOSS   a power loss that loses nothing (a broken check, which run.sh must notice)
 *            PROJECT=n collect abstract states (README.md)
 */
#ifndef FAILS
#define FAILS 0
#endif
#ifndef CRASHES
#define CRASHES 0
#endif
#ifdef NEWER
#define NV 2
#else
#define NV 1
#endif
#ifdef TAIL
#define NCH 3
#else
#define NCH 2
#endif
#define TOTAL 4
#define LEN(k)  ((k) == 2 -> 0 : 2)
#define OFF(k)  ((k) * 2)
#define DONE(k) ((k) == NCH - 1)

/* Bytes are nibbles and the checksum is the list of the bytes fed to it: no two contents collide. A real
 * CRC32C does collide; that no collision happens is an assumption of every claim here. */
#define CRC1 4660  /* 1 2 3 4 as nibbles */
#define CRC2 22133 /* 5 6 7 5 as nibbles */
#define FEED(c, d) ((((c) << 4) | (d)) & 2147483647)

#define NI 5                    /* files that can be alive at once; an assertion guards the bound */
#define JUNK 6                  /* any partial that was unlinked but may come back after power loss */
#define B(i) (1 << (i))

#include "tables.pml"
#define CLAIM(id, cond) if :: (cond) :: else -> c_code { violated(#id); }; assert(false) fi
#define WIT(id) c_code { witness(#id); }

/* ---- the receiver's memory ---- */
mtype = { DOWN, O_SWEEP, O_SYNC, REST, S_UNLINK, S_CREATE, C_WRITE, C_VERDICT,
          P_SYNC, P_RENAME, P_DIRSYNC, P_COMMIT, X_REMOVE, A_REMOVE };
mtype pc = DOWN;
bool act;                       /* a transfer is running */
byte tl, tt, off, wr;           /* its LSN, total, expected offset, open file */
int tc, crc;                    /* its declared and running checksum */
bool owed;                      /* a removal is owed */
byte lastc;                     /* LSN of the latest commit by this open receiver */
byte rl, roff, rlen;            /* final chunk whose repeat is answered: LSN, offset, length */
byte el, eo, en, et, e0, e1;    /* the envelope in flight: LSN, offset, length, total, bytes */
int ec; bool ed;                /* its declared checksum, `done` */

/* ---- ghosts: only claims read them ---- */
bool sfail;                     /* a sync of this attempt failed */
byte allow;                     /* files that may stand under the snapshot's name; 0 = nothing committed yet */
byte clsn;                      /* LSN of the latest commit ever */
byte abS = 255;                 /* snapshot at the start of the abort in flight */

/* ---- the world ---- */
byte nsent;                     /* envelopes 0..nsent-1 were sent; the network keeps them all */
byte flipm, flipk;              /* the flipped envelope and the field flipped; 0 = none yet */
byte nfail, ncrash;
bool healed, hcall, good, stray;
byte hv, req, rep, repoff, hsends;

/* A flipped LSN can leave a transfer that makes the true start stale; SR-CON-006 ends it, and SR-LIV-001
 * begins only after that. */
#define IDLE_TOO_LONG (act && tl > hv)
#define MAYFAIL (nfail < FAILS && !healed)
#define WHOLE1(i) (I[i].d[0] == 1 && I[i].d[1] == 2 && I[i].d[2] == 3 && I[i].d[3] == 4)
#define WHOLE2(i) (I[i].d[0] == 5 && I[i].d[1] == 6 && I[i].d[2] == 7 && I[i].d[3] == 5)
#define WHOLE(i)  (I[i].size == TOTAL && (WHOLE1(i) || WHOLE2(i)))
#define LSN_OF(i) (WHOLE1(i) -> 1 : 2)
#define FEDLIST(i) (I[i].size == 0 -> 0 : (I[i].size == 2 -> ((I[i].d[0] << 4) | I[i].d[1]) : \
	((I[i].d[0] << 12) | (I[i].d[1] << 8) | (I[i].d[2] << 4) | I[i].d[3])))

/* Judged without spending a crash: every file the name could lead to after a power loss right now. */
#ifdef VISIBLE_ONLY
#define LOSS_OK(i) true
#define STANDS true
#define STAYS   (allow == 0 || (allow & B(vS)))
#else
#define STANDS  (possS == B(vS))
#define LOSS_OK(i) (!(possS & B(i)) || (WHOLE(i) && I[i].dur == TOTAL))
#define STAYS   (allow == 0 || ((possS & ~allow) == 0 && (allow & B(vS))))
#endif
#define PUB2 ((vS == 0 || WHOLE(vS)) && LOSS_OK(1) && LOSS_OK(2) && LOSS_OK(3) && LOSS_OK(4) && LOSS_OK(5))

#include "disk.pml"

/* After every step: what is over is blanked, so that equal situations are equal states. */
inline forget() {
	d_step {
		if
		:: pc == DOWN -> act = 0; owed = 0; lastc = 0; rl = 0; roff = 0; rlen = 0; sfail = 0; abS = 255
		:: else
		fi;
		if
		:: !act -> tl = 0; tt = 0; tc = 0; off = 0; crc = 0; wr = 0
		:: else
		fi;
		if
		:: pc == DOWN || pc == REST -> el = 0; eo = 0; en = 0; et = 0; e0 = 0; e1 = 0; ec = 0; ed = 0
		:: else
		fi
	}
}
inline power_loss() {           /* the two names are lost or kept independently of each other */
#ifdef NO_LOSS                  /* a broken crash, to show that run.sh would notice it */
	possP = B(vP); possS = B(vS); I[vP].dur = I[vP].size; I[vS].dur = I[vS].size;
#endif
	i = vS;
	choose_name(vP, possP); choose_name(vS, possS);
	if
	:: i != 0 && vS == 0 -> WIT(power_loss_lost_snapshot_name)
	:: i != 0 && vS != 0 && vS != i -> WIT(power_loss_old_snapshot_back)
	:: vS != 0 && vP == vS -> WIT(power_loss_one_file_two_names)
	:: vP == JUNK -> WIT(power_loss_old_partial_back)
	:: else
	fi;
	i = 0;
	possP = B(vP); possS = B(vS); lose(vP); lose(vS); pc = DOWN
}

/* ---- answers ---- */
#define PENDING 1
#define REJECTED 2
#define FAILED 3
#define COMMITTED 4
inline answer(kind, o) {
	if
	:: hcall -> rep = kind; repoff = o; hcall = 0
	:: else
	fi;
	pc = REST
}

/* ---- judging an envelope, in the order the requirements give ---- */
inline admit_start() {
	CLAIM(SR_IDN_004, el >= (act -> tl : lastc));
	act = 1; off = 0; crc = 0; wr = 0; tl = el; tt = et; tc = ec; sfail = 0;
#ifndef BUG_KEEP_REPEAT
	rl = 0; roff = 0; rlen = 0;
#endif
	pc = S_UNLINK
}
inline admit_chunk() {
	CLAIM(SR_OFF_002, act && vP != 0);
	CLAIM(SR_OFF_003, eo == I[vP].size);             /* against the disk, not the receiver's own counter */
	CLAIM(SR_IDN_001, el == tl && et == tt && ec == tc);
	pc = C_WRITE
}
inline judge() {
	if
	:: eo == 0 ->
		if
		:: en > et -> WIT(rejected_overrun); answer(REJECTED, 0)
		:: en <= et ->
			if
#ifndef BUG_NO_STALE
			:: el < (act -> tl : lastc) -> WIT(rejected_stale); answer(REJECTED, 0)
			:: else -> admit_start()
#else
			:: true -> admit_start()
#endif
			fi
		fi
	:: eo > 0 && !act ->
		if
		:: rl != 0 && el == rl && et == TOTAL && ec == (rl == 1 -> CRC1 : CRC2) && eo == roff && en == rlen && ed ->
			WIT(repeat_answered);
			CLAIM(SR_IDN_003, vS != 0 && WHOLE(vS) && LSN_OF(vS) == el && STANDS);
			answer(COMMITTED, 0)
#ifdef BUG_REOPEN
		:: else -> admit_chunk()
#else
		:: else -> WIT(rejected_no_transfer); answer(REJECTED, 0)
#endif
		fi
	:: eo > 0 && act ->
		if
#ifndef BUG_NO_IDENTITY
		:: el != tl || et != tt || ec != tc -> WIT(rejected_identity); answer(REJECTED, 0)
#define SAME (el == tl && et == tt && ec == tc)
#else
#define SAME true
#endif
#ifndef BUG_GAP
		:: SAME && eo > off -> WIT(rejected_gap); answer(REJECTED, off)
		:: SAME && eo < off -> WIT(rejected_duplicate); answer(REJECTED, off)
		:: SAME && eo == off && eo + en > et -> answer(REJECTED, off)
		:: SAME && eo == off && eo + en <= et -> admit_chunk()
#else
		:: SAME -> admit_chunk()
#endif
		fi
	fi
}
inline load() {                 /* envelope m (snapshot m / NCH, chunk m % NCH), field f flipped */
	el = m / NCH + 1; eo = OFF(m % NCH); en = LEN(m % NCH); et = TOTAL; ed = DONE(m % NCH);
	ec = (el == 1 -> CRC1 : CRC2);
	if
	:: en == 0
	:: en > 0 && el == 1 -> e0 = eo + 1; e1 = eo + 2
	:: en > 0 && el == 2 -> e0 = eo + 5; e1 = (eo == 0 -> 6 : 5)
	fi;
	if
	:: f == 0
	:: f == 1 -> e0 = e0 ^ 8
	:: f == 2 -> e1 = e1 ^ 8
	:: f == 3 -> ed = !ed
	:: f == 4 -> eo = eo ^ 2
	:: f == 5 -> ec = ec ^ 1
	:: f == 6 -> et = et ^ 4
	:: f == 7 -> el = el ^ 4
	fi
}
inline from_network() {         /* any copy of anything ever sent: lost, late, twice, out of order */
	if
	:: nsent > 0 -> m = 0
	:: nsent > 1 -> m = 1
	:: nsent > 2 -> m = 2
	:: nsent > 3 -> m = 3
	:: nsent > 4 -> m = 4
	:: nsent > 5 -> m = 5
	fi;
	if
	:: f = 0
#ifdef CORRUPT
	:: flipk != 0 && flipm == m -> f = flipk
	:: flipk == 0 && !healed ->
		if
		:: LEN(m % NCH) > 0 -> f = 1
		:: LEN(m % NCH) > 0 -> f = 2
		:: f = 3
		:: f = 4
		:: f = 5
		:: f = 6
		:: f = 7
		fi;
		flipm = m; flipk = f
#endif
	fi;
	m++                             /* loaded and judged below */
}
inline end_attempt() { pc = X_REMOVE; wr = 0 }

/* A failing call may have been performed in part or whole, or not at all: the receiver cannot tell. */
inline perhaps_unlink() {
	nfail++; owed = 1;
	if
	:: skip -> unlink_partial()
	:: WIT(removal_owed)
	fi
}

active proctype Receiver() {
	byte i, m, f;
end:	do
	:: atomic {
		if
		/* opening: sweep, then make what is visible durable */
		:: pc == DOWN -> pc = O_SWEEP
		:: pc == O_SWEEP && vP == 0 -> pc = O_SYNC
		:: pc == O_SWEEP && vP != 0 ->
#ifndef BUG_NO_SWEEP
			unlink_partial();
#endif
			pc = O_SYNC
		:: pc == O_SWEEP && vP != 0 && MAYFAIL -> perhaps_unlink(); pc = O_SYNC
		:: pc == O_SYNC ->
#ifndef BUG_NO_OPEN_SYNC
			sync_dir();
#endif
			CLAIM(SR_PUB_005, possS == B(vS) && possP == B(vP));
			pc = REST
		:: pc == O_SYNC && MAYFAIL -> nfail++; owed = 0; pc = DOWN      /* opening is refused */

		/* at rest */
		:: pc == REST && !healed && nsent > 0 -> from_network()
#ifdef STRAY
		:: pc == REST && healed && !good && !stray && nsent > 0 -> stray = 1; from_network()
#endif
		:: pc == REST && healed && req != 0 && !IDLE_TOO_LONG ->
			m = (hv - 1) * NCH + req; req = 0; hcall = 1;
#ifdef BUG_STUCK
			if
			:: owed -> m = 0; answer(FAILED, 0)
			:: else
			fi
#endif
		:: pc == REST && !healed ->                     /* abort */
			abS = vS;
#ifdef BUG_ABORT_SNAPSHOT
			if
			:: vS != 0 -> vS = 0; possS = possS | 1
			:: else
			fi;
#endif
			if
			:: (act || owed) && vP != 0 -> act = 0; pc = A_REMOVE
			:: else ->
				act = 0; owed = 0;
				CLAIM(SR_ABT_001, vP == 0);
				CLAIM(SR_ABT_002, vS == abS);
				abS = 255
			fi
#ifdef CORRUPT
		:: pc == REST && healed && IDLE_TOO_LONG -> act = 0; pc = A_REMOVE; abS = vS; WIT(expired)
#endif
		:: pc == A_REMOVE ->
			if
			:: owed -> WIT(abort_pays_owed_removal)
			:: else
			fi;
#ifndef BUG_ABORT_KEEPS
			unlink_partial();
#endif
			owed = 0;
			CLAIM(SR_ABT_001, vP == 0 && !act);
			CLAIM(SR_ABT_002, vS == abS);
			abS = 255; pc = REST
		:: pc == A_REMOVE && MAYFAIL -> perhaps_unlink(); abS = 255; pc = REST  /* answered as a failure */

		/* a start: the name is freed, then a new file */
		:: pc == S_UNLINK && vP == 0 -> owed = 0; pc = S_CREATE
#ifdef BUG_REUSE_LEFTOVER
		:: pc == S_UNLINK && vP != 0 && vP != JUNK ->
			wr = vP; I[wr].size = 0; I[wr].dur = 0; I[wr].d[0] = 0; I[wr].d[1] = 0; I[wr].d[2] = 0; I[wr].d[3] = 0;
			owed = 0; pc = C_WRITE
#endif
		:: pc == S_UNLINK && vP != 0 ->
			if
			:: owed -> WIT(start_pays_owed_removal)
			:: else
			fi;
#ifndef BUG_NO_UNLINK
			unlink_partial();
#endif
			owed = 0; pc = S_CREATE
		:: pc == S_UNLINK && vP != 0 && MAYFAIL ->
			perhaps_unlink(); act = 0; answer(FAILED, 0)
		:: pc == S_CREATE ->
			CLAIM(SR_SEC_002, vP == 0);
			create_partial(); wr = vP; pc = C_WRITE
		:: pc == S_CREATE && MAYFAIL ->
			nfail++;
			if
			:: skip -> create_partial()
			:: skip
			fi;
			end_attempt()

		/* a chunk */
		:: pc == C_WRITE ->
			if
			:: wr == 0 -> wr = vP
			:: else
			fi;
			write_bytes(en); off = off + en;
			if
			:: en > 0 -> crc = FEED(FEED(crc, e0), e1);
#ifdef BUG_FEED_TWICE
				crc = FEED(FEED(crc, e0), e1)
#endif
			:: else
			fi;
			if
			:: ed -> pc = C_VERDICT
			:: else -> answer(PENDING, off)
			fi
		:: pc == C_WRITE && en > 0 && MAYFAIL ->
			nfail++;
			if
			:: skip -> write_bytes(0)
			:: skip -> write_bytes(1); WIT(write_failed_half_way)
			:: skip -> write_bytes(2)
			fi;
#ifdef BUG_SHORT_WRITE
			off = off + en; crc = FEED(FEED(crc, e0), e1);
			if
			:: ed -> pc = C_VERDICT
			:: else -> answer(PENDING, off)
			fi
#else
			end_attempt()
#endif
		:: pc == C_VERDICT ->
			if
#ifndef BUG_EARLY_DONE
			:: off != tt -> WIT(verdict_length); end_attempt()
			:: off == tt ->
#else
			:: true ->
#endif
				CLAIM(SR_LEN_001, I[wr].size == tt);     /* whatever comes next, all bytes are there */
				if
#ifndef BUG_NO_CRC
				:: crc != tc -> WIT(verdict_crc); end_attempt()
				:: crc == tc ->
#else
				:: true ->
#endif
#ifdef BUG_NO_SYNC
					pc = P_RENAME
#else
					pc = P_SYNC
#endif
				fi
			fi

		/* publication */
		:: pc == P_SYNC ->
			CLAIM(SR_ERR_002, !sfail);
			sync_file(); pc = P_RENAME
		:: pc == P_SYNC && MAYFAIL ->
			nfail++; sfail = 1; I[wr].bad = 1; WIT(sync_failed);
#ifdef BUG_RETRY_SYNC
			pc = P_SYNC
#else
			end_attempt()
#endif
		:: pc == P_RENAME ->
			CLAIM(SR_PUB_004, vP == wr);
			CLAIM(SR_LEN_001, I[vP].size == TOTAL);
			CLAIM(SR_CRC_002, WHOLE(vP) && LSN_OF(vP) == tl);
#ifdef LATER_BY_LSN
			CLAIM(SR_PUB_003, tl >= clsn);
#endif
			if
			:: clsn > tl -> WIT(older_snapshot_after_restart)
			:: else
			fi;
			if
			:: allow != 0 -> allow = allow | B(vP)
			:: else
			fi;
#ifdef BUG_UNLINK_OLD
			if
			:: vS != 0 -> possS = possS | 1; vS = 0
			:: else -> rename_partial(); pc = P_DIRSYNC
			fi
#else
			rename_partial();
#ifdef BUG_NO_DIRSYNC
			pc = P_COMMIT
#else
			pc = P_DIRSYNC
#endif
#endif
		:: pc == P_RENAME && MAYFAIL ->
			nfail++;
			if
			:: allow != 0 -> allow = allow | B(vP)
			:: else
			fi;
			if
			:: skip -> rename_partial()
			:: skip
			fi;
			end_attempt()
		:: pc == P_DIRSYNC ->
			CLAIM(SR_ERR_002, !sfail);
			sync_dir(); pc = P_COMMIT
		:: pc == P_DIRSYNC && MAYFAIL ->
			nfail++; sfail = 1; WIT(dirsync_failed_snapshot_visible);
#ifdef BUG_IGNORE_DIRSYNC
			pc = P_COMMIT
#else
			end_attempt()
#endif
		:: pc == P_COMMIT ->
			CLAIM(SR_ERR_002, !sfail);
			CLAIM(SR_PUB_001, vS == wr && STANDS && LOSS_OK(vS));
			CLAIM(SR_OFF_005, LSN_OF(vS) == tl);
			WIT(committed);
			if
			:: ncrash > 0 -> WIT(committed_after_crash)
			:: else
			fi;
			allow = B(vS); clsn = tl; lastc = tl; rl = tl; roff = eo; rlen = en;
			act = 0; answer(COMMITTED, 0)

		/* the end of a failed attempt; the first cause stays the answer */
		:: pc == X_REMOVE ->
			if
			:: vP != 0 -> unlink_partial()
			:: else
			fi;
			owed = 0; act = 0; answer(FAILED, 0)
		:: pc == X_REMOVE && vP != 0 && MAYFAIL ->
			perhaps_unlink(); act = 0; answer(FAILED, 0)

		/* a crash between any two effects, in the opening too, and a power loss after a kill */
		:: ncrash < CRASHES && !healed && pc != DOWN -> ncrash++; hcall = 0; WIT(killed); pc = DOWN
		:: ncrash < CRASHES && !healed -> ncrash++; power_loss()
		fi;
		if
		:: m != 0 -> m--; load(); m = 0; f = 0; judge()
		:: else
		fi;
		forget();
		free_inodes();

		/* at every moment */
		CLAIM(SR_PUB_002, PUB2);
		CLAIM(SR_PUB_003, STAYS);
		/* at every rest */
		if
		:: pc == REST ->
			CLAIM(SR_OFF_004, !act || (vP != 0 && vP != JUNK && I[vP].size == off));
			CLAIM(SR_CRC_001, !act || crc == FEDLIST(vP));
			CLAIM(SR_ERR_005, act || vP == 0 || owed)
		:: else
		fi;
#ifdef PROJECT
		if
#if PROJECT != 2
		:: pc != REST
		:: pc == REST ->
#else
		:: true ->
#endif
			c_code {
				char s[160], p[16];
				const char *d = now.possS & 1 ? "no" : "yes", *h = now.act ? "chunk" : "start";
				if (now.vP == 0) strcpy(p, "absent"); else if (now.vP == 6) strcpy(p, "unknown"); else sprintf(p, "%d", now.I[now.vP].size);
#if PROJECT == 1
				sprintf(s, "phase=%s received=%d partial=%s snapshot=%s durable=%s",
					h, now.off, p, now.vS ? "whole" : "absent", d);
#elif PROJECT == 2
				sprintf(s, "partial=%s snapshot=%s durable=%s", p, now.vS ? "whole" : "absent", d);
#else
				sprintf(s, "phase=%s lsn=%d received=%d partial=%s snapshot=%d durable=%s latest=%d repeat=%d",
					h, now.tl, now.off, p,
					now.vS ? (now.I[now.vS].d[0] == 1 ? 1 : 2) : 0, d, now.lastc, now.rl);
#endif
				collect(s);
			}
		fi
#endif
	   }
	od
}

active proctype Source() {
	byte k;
end:	do
	:: atomic { !healed && nsent < NV * NCH -> nsent++ }
#ifdef HEAL
	:: atomic { !healed -> healed = 1; hv = (nsent > NCH -> 2 : 1); break }
#endif
	od;
	/* well-behaved from here on: restart from 0, then do what each reply says */
	do
	:: atomic { req == 0 && rep == 0 && !hcall ->
		req = k + 1; stray = 0;
		if
		:: hsends <= NCH -> hsends++
		:: else
		fi;
#if !defined(NO_BOUND) && !defined(STRAY)
		CLAIM(SR_LIV_001, hsends <= NCH)
#endif
	   }
	:: atomic { rep != 0 ->
		if
		:: rep == COMMITTED -> good = 1; WIT(healed_and_committed); k = 0; rep = 0; repoff = 0; break
		:: rep == PENDING || rep == REJECTED -> k = repoff / 2
		:: rep == FAILED -> k = 0
		fi;
		rep = 0; repoff = 0
	   }
	od
}

#ifdef HEAL
ltl live { [] (healed -> <> good) }
#endif
