/* Reported by name, so that a bug counts as caught only by the clause that claims it. The tables in C
 * are outside the state: they count and collect, nothing in the model can read them. */
c_decl {
	static long wit_n[32]; static const char *wit_name[32];
	static char proj[4096][160]; static int nproj, registered;
	static void at_end(void) {
		int i;
		for (i = 0; i < 32; i++) if (wit_name[i]) printf("WITNESS %s %ld\n", wit_name[i], wit_n[i]);
		for (i = 0; i < nproj; i++) printf("STATE %s\n", proj[i]);
	}
	static void setup(void) { if (!registered) { registered = 1; atexit(at_end); } }
	static void witness(const char *n) {
		int i; setup();
		for (i = 0; i < 31 && wit_name[i] && strcmp(wit_name[i], n); i++) ;
		wit_name[i] = n; wit_n[i]++;
	}
	static void violated(const char *n) { printf("VIOLATED %s\n", n); }
	static void collect(const char *s) {
		int i; setup();
		for (i = 0; i < nproj; i++) if (!strcmp(proj[i], s)) return;
		if (nproj == 4096) { printf("STATE table full\n"); exit(1); }
		strcpy(proj[nproj++], s);
	}
};
