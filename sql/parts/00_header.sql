-- pgml_auto: joined from sql/parts by the Makefile
\echo Use "CREATE EXTENSION pgml_auto" to load this file. \quit
