// Before anything is drawn: what needs scripts may show itself, and nothing moves afterwards.
document.documentElement.classList.add("js");
