"""The documentation: its statements are those of the code, its commands run, its site builds."""
