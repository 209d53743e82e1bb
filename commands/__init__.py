"""The commands of the `vapipe` program; they parse, call one function of a room, and print."""
