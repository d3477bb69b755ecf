/*
 * catalog_report.c - what automl_describe and automl_leaderboard show of one version.
 */
#include "pg/catalog.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/tuplestore.h"

#include "pg/catalog_spi.h"

/* Copy the rows of SPI_tuptable, whose columns are the function's, to the caller's tuplestore. */
static void
return_rows(ReturnSetInfo *rsinfo, uint64 rows)
{
	for (uint64 i = 0; i < rows; i++)
		tuplestore_puttuple(rsinfo->setResult, SPI_tuptable->vals[i]);
}

/* Run a statement on a version the caller may use. */
static void
report(const char *reference, CatalogStatement *statement, ReturnSetInfo *rsinfo)
{
	CatalogVersion version;
	CatalogScope scope;

	catalog_resolve(reference, &version);
	catalog_enter(&scope);
	Datum values[1] = { Int64GetDatum(version.version_id) };
	return_rows(rsinfo, catalog_run(statement, values, NULL, true));
	catalog_leave(&scope);
}

/* An SQL expression for a score in short: so many significant digits; infinite ones, which to_char() does not know, stay. */
#define SHORT(score, digits)                                                                       \
	"CASE WHEN abs(" score ") < 'Infinity' THEN to_char(" score ", '" digits "EEEE')::float8"      \
	" ELSE " score " END"

void
catalog_leaderboard(const char *reference, ReturnSetInfo *rsinfo)
{
	static CatalogStatement leaderboard = {
		.sql =
			"SELECT rank() OVER (ORDER BY CASE WHEN pgml_auto.higher_is_better(t.metric)"
			" THEN - t.validation_score ELSE t.validation_score END NULLS LAST)::int4,"
			" v.version, t.trial, t.algorithm, t.metric,"
			" " SHORT(
				"t.validation_score",
				"9.999999") ", round(t.weight::numeric, 4)::float8,"
							" round(t.fit_wall_seconds::numeric, 3)::float8, t.image_bytes,"
							" " SHORT(
								"t.predict_us",
								"9.99") ", t.rows, t.status, t.chosen,"
										" CASE WHEN t.fold_scores IS NOT NULL THEN ARRAY(SELECT " SHORT(
											"f.score",
											"9.999") " FROM unnest(t.fold_scores) WITH ORDINALITY f(score, n) ORDER BY f.n) END,"
													 " pgml_auto.settings_text(t.algorithm, t.settings), t.error"
													 " FROM pgml_auto.trials t JOIN pgml_auto.versions v ON v.version_id = t.version_id"
													 " WHERE t.version_id = $1 ORDER BY 1, t.trial",
		.nargs = 1,
		.types = { INT8OID },
	};
	report(reference, &leaderboard, rsinfo);
}

/* The most important columns first. */
void
catalog_importance(const CatalogVersion *version, const double *gain, int n, ReturnSetInfo *rsinfo)
{
	static CatalogStatement importance = {
		.sql = "SELECT c.value ->> 'column', (c.value ->> 'importance')::float8,"
			   " (c.value ->> 'importance_low')::float8, (c.value ->> 'importance_high')::float8,"
			   " CASE WHEN c.value ? 'importance' THEN v.metric END, NULLIF(g.gain, 'NaN')"
			   " FROM pgml_auto.versions v,"
			   " LATERAL jsonb_array_elements(v.recipe) WITH ORDINALITY c(value, n)"
			   " LEFT JOIN unnest($2) WITH ORDINALITY g(gain, n) USING (n)"
			   " WHERE v.version_id = $1 AND c.value ->> 'step' <> 'drop'"
			   " ORDER BY 2 DESC NULLS LAST, 6 DESC NULLS LAST, n",
		.nargs = 2,
		.types = { INT8OID, FLOAT8ARRAYOID },
	};
	Datum *elements = palloc((n + 1) * sizeof(Datum));
	CatalogScope scope;
	Datum values[2];

	for (int i = 0; i < n; i++)
		elements[i] = Float8GetDatum(gain[i]);
	values[0] = Int64GetDatum(version->version_id);
	values[1] = PointerGetDatum(
		construct_array(elements, n, FLOAT8OID, sizeof(float8), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	catalog_enter(&scope);
	return_rows(rsinfo, catalog_run(&importance, values, NULL, true));
	catalog_leave(&scope);
}

/* First the model, then the classes, each column, and what was said in training. */
void
catalog_describe(const char *reference, ReturnSetInfo *rsinfo)
{
	static CatalogStatement describe = {
		.sql =
			"WITH v AS (SELECT m.name, m.owner, m.task, m.target, w.*, d.version AS deployed"
			" FROM pgml_auto.versions w JOIN pgml_auto.models m ON m.model_id = w.model_id"
			" LEFT JOIN pgml_auto.deployed p ON p.model_id = m.model_id"
			" LEFT JOIN pgml_auto.versions d ON d.version_id = p.version_id"
			" WHERE w.version_id = $1)"
			" SELECT x.part, x.item, x.description FROM ("
			" SELECT 1 AS section, s.position::bigint, 'model' AS part, s.item, s.description FROM v,"
			" LATERAL (VALUES"
			" (1, 'name', v.name || ', version ' || v.version || CASE WHEN v.deployed = v.version"
			"   THEN ' (deployed)' ELSE ' (deployed: ' || COALESCE(v.deployed::text, 'none') || ')'"
			"   END),"
			" (2, 'owner', v.owner),"
			" (3, 'predicts', v.target || ' (' || v.task || ')'),"
			" (4, 'classes', array_to_string(v.classes, ', ')),"
			" (5, 'algorithm', v.algorithm),"
			" (6, 'why chosen', v.why_chosen),"
			" (7, 'score', v.metric || ' ' || round(v.score::numeric, 4) || ' ('"
			"   || round(v.score_low::numeric, 4) || ' to ' || round(v.score_high::numeric, 4)"
			"   || ') on ' || CASE v.score_part WHEN 'test' THEN v.rows_test || ' test rows'"
			"   ELSE 'validation rows: no test rows were held out' END),"
			" (8, 'baseline', v.metric || ' ' || round(v.baseline::numeric, 4)"
			"   || ' of a constant prediction'),"
			" (9, 'trained', to_char(v.created_at, 'YYYY-MM-DD HH24:MI') || ' by ' || v.created_by"
			"   || ' on ' || v.rows_train || ' rows in ' || round(v.train_seconds::numeric, 1)"
			"   || ' s'),"
			" (10, 'features', v.features || ' from ' || v.inputs || ' columns'),"
			" (11, 'seed', v.seed::text)"
			" ) s(position, item, description)"
			" UNION ALL"
			" SELECT 2, c.n, 'column', c.value ->> 'column', (c.value ->> 'type') || ': '"
			" || (c.value ->> 'words')"
			" FROM v, LATERAL jsonb_array_elements(v.recipe) WITH ORDINALITY c(value, n)"
			" UNION ALL"
			" SELECT 3, 1, 'input', 'needed', (SELECT string_agg(c.name, ', ' ORDER BY c.n) FROM"
			"   (SELECT min(c.n) AS n, quote_ident(regexp_replace(c.value ->> 'column',"
			"      '\\[[0-9]+\\]$', '')) AS name" /* of array elements */
			"    FROM jsonb_array_elements(v.recipe) WITH ORDINALITY c(value, n)"
			"    WHERE c.value ->> 'step' <> 'drop' GROUP BY 2) c) FROM v"
			" UNION ALL"
			" SELECT 4, n.n, 'notice', n.n::text, n.notice"
			" FROM v, LATERAL unnest(v.notices) WITH ORDINALITY n(notice, n)"
			") x WHERE x.description IS NOT NULL ORDER BY x.section, x.position",
		.nargs = 1,
		.types = { INT8OID },
	};
	report(reference, &describe, rsinfo);
}
