// Whether the screen is a phone's, as app.css has it: columns are left out there, and what is in them stands below the row.

import { MediaQuery } from "svelte/reactivity";

export const narrow = new MediaQuery("max-width: 45rem");
