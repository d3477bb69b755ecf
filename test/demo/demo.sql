-- The main job, shown on a telecom company's customers: a messy table becomes a model becomes predictions.
-- Everything here is made up by the SQL below; nothing is downloaded.

-- \p shows the statement that \g runs, with its \; as a semicolon.

\set QUIET on
\pset null '(null)'
\pset footer off
\pset columns 100
\set ON_ERROR_STOP on
SET client_min_messages = warning;

\echo
\echo '== 1. A table as one finds them: 6,000 telecom customers, made up by test/demo/demo.sql'
\echo
SELECT setseed(0.42) \g /dev/null

CREATE TABLE customers AS
WITH raw AS (
    SELECT i AS customer_id,
           date '2019-01-01' + (random() * 1800)::int AS signed_up,
           random() AS r_plan, random() AS r_contract, random() AS r_pay, random() AS r_city,
           random() AS r_null, random() AS r_case, random() AS r_churn, random() AS r_age,
           (-ln(1 - random()) * 18)::numeric(8,2) AS data_gb,
           floor(-ln(1 - random()) * 1.6)::int AS support_calls
    FROM generate_series(100001, 106000) AS i
), shaped AS (
    SELECT *,
           CASE WHEN r_plan < 0.35 THEN 'Basic' WHEN r_plan < 0.75 THEN 'Standard' ELSE 'Premium' END AS plan,
           CASE WHEN r_contract < 0.55 THEN 'month-to-month' WHEN r_contract < 0.8 THEN 'one year'
                ELSE 'two years' END AS contract,
           (date '2024-06-30' - signed_up) / 30.4 AS months,
           (20 + 25 * (r_plan >= 0.35)::int + 30 * (r_plan >= 0.75)::int
               + 15 * r_age + 0.3 * data_gb)::numeric(8,2) AS charge
    FROM raw
), scored AS (
    SELECT *,
           1 / (1 + exp(-(-2.3 + 1.9 * (contract = 'month-to-month')::int - 0.035 * months
                          + 0.45 * support_calls + 0.028 * charge - 0.9 * (r_pay < 0.3)::int
                          + 0.8 * (plan = 'Basic' AND data_gb > 25)::int
                          + 0.7 * (r_city < 0.15)::int))) AS p
    FROM shaped
)
SELECT customer_id,
       -- dates as text, the way a spreadsheet exports them
       to_char(signed_up, 'DD.MM.YYYY') AS signed_up,
       -- the same three words in many spellings
       CASE WHEN r_case < 0.2 THEN upper(plan) WHEN r_case < 0.4 THEN lower(plan)
            WHEN r_case < 0.45 THEN ' ' || plan || ' ' ELSE plan END AS plan,
       contract,
       -- money as text: currency signs and thousands separators
       '$' || charge AS monthly_charge,
       to_char(charge * months, 'FM999,999,990.00') AS total_charges,
       CASE WHEN r_pay < 0.3 THEN 'direct debit' WHEN r_pay < 0.6 THEN 'credit card'
            WHEN r_pay < 0.9 THEN 'invoice' WHEN r_pay < 0.95 THEN 'N/A' ELSE NULL END AS payment,
       CASE WHEN r_city < 0.15 THEN 'Porto' WHEN r_city < 0.5 THEN 'Lisboa' WHEN r_city < 0.7 THEN 'Braga'
            WHEN r_city < 0.995 THEN 'Coimbra' ELSE 'village ' || customer_id % 17 END AS city,
       CASE WHEN r_null < 0.12 THEN NULL ELSE data_gb END AS data_gb,
       CASE WHEN r_null > 0.93 THEN NULL ELSE support_calls END AS support_calls,
       18 + (r_age * 60)::int AS age,
       -- filled in when a customer leaves: it knows the answer
       CASE WHEN r_churn < p THEN (ARRAY['price', 'moved away', 'service', 'competitor'])[1 + (r_null * 4)::int % 4]
       END AS cancellation_reason,
       CASE WHEN r_churn < p THEN CASE WHEN r_case < 0.1 THEN 'yes' ELSE 'Yes' END
            ELSE CASE WHEN r_case < 0.1 THEN 'no' ELSE 'No' END END AS churned
FROM scored;
ALTER TABLE customers ADD PRIMARY KEY (customer_id);

SELECT customer_id AS id, signed_up, plan, contract, monthly_charge, total_charges, payment
FROM customers ORDER BY customer_id LIMIT 6\;
\p \echo \g
SELECT customer_id AS id, city, data_gb, support_calls, age, cancellation_reason, churned
FROM customers ORDER BY customer_id LIMIT 6\;
\p \echo \g

\echo '== 2. One statement trains a model.  Watch the notices: one column knows the answer.'
\echo
CREATE EXTENSION pgml_auto\;
\p \echo \g
SET client_min_messages = notice;
\x on
SELECT * FROM automl_train('churn', 'customers', 'churned', time_budget => '10 s')\;
\p \echo \g
\x off

\echo '== 3. Too good to be true, and a notice said why: leave the leaking column out'
\echo
\echo 'The honest model gets a name of its own.  As a new version of "churn" it would not be deployed:'
\echo 'the scores are compared, and a model that knows the answer stays ahead.'
\echo
\x on
SELECT * FROM automl_train('churn_honest', 'customers', 'churned',
                           exclude => '{cancellation_reason}', time_budget => '20 s')\;
\p \echo \g
\x off
SET client_min_messages = warning;

\echo '== 4. What was tried'
\echo
SELECT rank, trial, algorithm, validation_score, seconds, rows, chosen
FROM automl_leaderboard('churn_honest')\;
\p \echo \g

\echo '== 5. What was done to each column'
\echo
\pset format wrapped
SELECT item, description FROM automl_describe('churn_honest') WHERE part <> 'notice'\;
\p \echo \g
\pset format aligned

\echo '== 6. Predictions, in any query: who has not left yet, but is the most likely to?'
\echo
SELECT customer_id, contract, city, support_calls AS calls, monthly_charge,
       predict('churn_honest', c) AS prediction,
       round(predict_proba('churn_honest', c)::numeric, 3) AS probability
FROM customers c WHERE lower(churned) = 'no'
ORDER BY predict_proba('churn_honest', c) DESC, customer_id LIMIT 10\;
\p \echo \g

\echo '== 7. Who should be called today?  In each city, those more likely to leave than to stay'
\echo
SELECT city, count(*) AS customers, count(*) FILTER (WHERE p > 0.5) AS to_call,
       sum(charge) FILTER (WHERE p > 0.5) AS they_pay_a_month
FROM (SELECT city, predict_proba('churn_honest', c) AS p,
             replace(monthly_charge, '$', '')::numeric AS charge
      FROM customers c WHERE lower(churned) = 'no') AS scored
GROUP BY city HAVING count(*) > 100 ORDER BY to_call DESC\;
\p \echo \g

\echo '== 8. A customer who is not in any table'
\echo
SELECT predict('churn_honest', customer) AS prediction,
       round(predict_proba('churn_honest', customer)::numeric, 3) AS probability
FROM (SELECT jsonb '{"signed_up": "01.05.2024", "plan": "basic", "contract": "month-to-month",
                     "monthly_charge": "$61.00", "total_charges": "122.00", "payment": null,
                     "city": "Porto", "data_gb": 31, "support_calls": 4, "age": 30}'
             AS customer) AS c\;
\p \echo \g
\echo 'Next: README.md, "A tour in five minutes".'
