// @ts-check
/**
 * What a view and the page around it expect of each other.
 *
 * @typedef {object} Page
 * @property {import("../components/settings-form.js").SettingsForm} form
 * @property {() => void} updateButtons                    a run has started or ended
 * @property {(address: string, push?: boolean) => void} setAddress  replaces the page's address, or adds one to which Back returns
 * @property {(address: string) => Promise<void>} openAddress        shows another view or drawing; Back returns
 * @property {(run: import("../lib/run.js").Run, address: string, settings: import("../lib/settings.js").Settings | import("../lib/settings.js").Settings[]) => void} keepRun  stores its pictures in this browser, with the settings of the run or of each picture
 * @property {(address: string) => Promise<import("../lib/run.js").Run | null>} keptRun
 * @property {(run: import("../lib/run.js").Run, index: number, settings: import("../lib/settings.js").Settings) => Promise<void>} showInDraw  opens one of its pictures in Draw
 * @property {() => void} updateTitle                      the view shows another picture
 * @property {(text: string) => void} showNotice           "" hides the notice
 * @property {(element: HTMLElement, header?: HTMLElement) => void} scrollIntoView  with its header, if both fit
 *
 * @typedef {object} View
 * @property {boolean} running
 * @property {string} [pictureName]                        of the picture that is shown; names the browser's tab
 * @property {() => import("../components/code-drawer.js").CodeScope[] | null} [codeScopes]  what code can make; null: the settings are invalid
 * @property {import("../components/viewer.js").Viewer} [viewer]
 * @property {boolean} [canSave]                           a picture is finished
 * @property {() => void} [save]                           saves the picture that is shown
 * @property {() => void} [undo]
 * @property {() => void} submit
 * @property {() => void} cancel
 * @property {() => void} [onFormChange]
 * @property {(address: string) => void} [onAddress]       Back or Forward has led to another address of the view
 * @property {(linked: boolean) => void} [onShow]          linked: the page was opened at the view's address
 */
export {};
