import "./help.css";
import { connectCopyButtons } from "./copy-buttons.ts";
import { connectMenu } from "./menu.ts";
import { connectSchemeButton } from "./scheme-button.ts";
import { connectSearch } from "./search.ts";

connectMenu();
connectSchemeButton();
connectCopyButtons();
connectSearch();
